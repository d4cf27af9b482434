// SPDX-License-Identifier: MPL-2.0

//go:build linux

package regular

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// ReadFileIn reads a regular file of at most limit bytes below a root, as a process sees it whose root that is: symbolic links
// stay below the root (openat2(2), RESOLVE_IN_ROOT). It opens neither pipes nor devices, because that alone can wait or have an
// effect, and no file of procfs, some of which a read consumes. A larger file is an error.
func ReadFileIn(root, path string, limit int64) ([]byte, error) {
	name := filepath.Join(root, path)

	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: root, Err: err}
	}

	defer unix.Close(dir) //nolint:errcheck // only a reference

	fd, err := unix.Openat2(dir, path, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, &os.PathError{Op: "openat2", Path: name, Err: err}
	}

	defer unix.Close(fd) //nolint:errcheck // only a reference

	var (
		stat   unix.Stat_t
		system unix.Statfs_t
	)

	if err := errors.Join(unix.Fstat(fd, &stat), unix.Fstatfs(fd, &system)); err != nil {
		return nil, &os.PathError{Op: "stat", Path: name, Err: err}
	}

	if stat.Mode&unix.S_IFMT != unix.S_IFREG || system.Type == unix.PROC_SUPER_MAGIC {
		return nil, fmt.Errorf("%s is not a regular file of a file system", name)
	}

	file, err := os.Open("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return nil, err
	}

	return readAll(file, name, limit)
}
