// SPDX-License-Identifier: MPL-2.0

// Package regular opens files that may be anything: a path in a document can name a pipe, a device or a huge file.
package regular

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// Open is os.OpenFile for a regular file, and returns what is known of it. It never blocks on a pipe: without
// O_NONBLOCK, opening one waits for its other end. Errors of open(2) are those of package os; anything else than a
// regular file is an error.
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

// ReadFile reads a regular file of at most limit bytes, and never more than limit+1. Errors are Open's; a longer file
// is one, too.
func ReadFile(path string, limit int64) ([]byte, error) {
	file, _, err := Open(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}

	defer file.Close() //nolint:errcheck // only read

	data, err := io.ReadAll(io.LimitReader(file, limit+1))

	switch {
	case err != nil:
		return nil, err
	case int64(len(data)) > limit:
		return nil, fmt.Errorf("%s is too large: more than %d bytes", path, limit)
	}

	return data, nil
}
