// Package regular reads files that may be anything: a path in a document can name a pipe, a device or a huge file.
package regular

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// ReadFile reads a regular file of at most limit bytes. It never blocks on a pipe, and never reads more than
// limit+1 bytes. Errors of open(2) are those of package os; anything else than a regular file is an error, and so is
// a longer one.
func ReadFile(path string, limit int64) ([]byte, error) {
	// Without O_NONBLOCK, opening a pipe waits for its writer.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}

	defer file.Close() //nolint:errcheck // only read

	info, err := file.Stat()

	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file (mode %s)", path, info.Mode())
	}

	data, err := io.ReadAll(io.LimitReader(file, limit+1))

	switch {
	case err != nil:
		return nil, err
	case int64(len(data)) > limit:
		return nil, fmt.Errorf("%s is too large: more than %d bytes", path, limit)
	}

	return data, nil
}
