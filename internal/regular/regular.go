// SPDX-License-Identifier: MPL-2.0

// Package regular opens configured paths safely: such a path may name a pipe, a device or a huge file.
package regular

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// Open opens a regular file and returns its info. It returns the errors of os.OpenFile, and an error for any other type of
// file. O_NONBLOCK keeps it from waiting for the other end of a pipe.
func Open(path string, flag int, perm os.FileMode) (*os.File, os.FileInfo, error) {
	file, err := os.OpenFile(path, flag|syscall.O_NONBLOCK, perm)
	if err != nil {
		return nil, nil, err
	}

	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file (mode %s)", path, info.Mode())
	}

	if err != nil {
		file.Close() //nolint:errcheck // unused

		return nil, nil, err
	}

	return file, info, nil
}

// ReadFile reads a regular file of at most limit bytes. It returns the errors of Open, and an error for a larger file.
func ReadFile(path string, limit int64) ([]byte, error) {
	file, _, err := Open(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}

	return readAll(file, path, limit)
}

// readAll reads and closes a file of at most limit bytes; path is its name in errors.
func readAll(file *os.File, path string, limit int64) ([]byte, error) {
	defer file.Close() //nolint:errcheck // read only

	data, err := io.ReadAll(io.LimitReader(file, limit+1))

	switch {
	case err != nil:
		return nil, err
	case int64(len(data)) > limit:
		return nil, fmt.Errorf("%s is too large: more than %d bytes", path, limit)
	}

	return data, nil
}
