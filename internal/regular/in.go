// SPDX-License-Identifier: MPL-2.0

//go:build linux

package regular

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ReadFileIn reads a regular file of at most limit bytes below a root, as a process sees it whose root that is: symbolic links
// stay below the root (openat2(2), RESOLVE_IN_ROOT) and lead to no file of procfs. It does not wait for a pipe, and a larger
// file is an error.
func ReadFileIn(root, path string, limit int64) ([]byte, error) {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: root, Err: err}
	}

	defer unix.Close(dir) //nolint:errcheck // only a reference

	fd, err := unix.Openat2(dir, path, &unix.OpenHow{
		Flags: unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, &os.PathError{Op: "openat2", Path: filepath.Join(root, path), Err: err}
	}

	file := os.NewFile(uintptr(fd), filepath.Join(root, path))
	defer file.Close() //nolint:errcheck // read only

	info, err := file.Stat()

	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file but %s", file.Name(), info.Mode().Type())
	}

	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s has more than %d bytes", file.Name(), limit)
	}

	if err != nil {
		return nil, err
	}

	return data, nil
}
