// SPDX-License-Identifier: MPL-2.0

//go:build linux

package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ID identifies a cgroup for as long as it exists: a re-created path has another inode.
type ID struct {
	Device, Inode uint64
}

// Dir is an open cgroup. Its files are opened relative to it, so a path that is reused by another
// container can never be hit.
type Dir struct {
	file *os.File
	// number of the file's descriptor: os.File.Fd costs a system call each time.
	number     int
	root, path string
	id         ID
}

// Open opens the cgroup at a path relative to the root of the unified hierarchy.
func Open(root, path string) (*Dir, error) {
	name := filepath.Join(root, path)

	// RESOLVE_BENEATH: whatever the path holds, nothing outside of the hierarchy is opened.
	rootFD, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: error opening %s: %w", ErrNotUnified, root, err)
	}

	defer unix.Close(rootFD) //nolint:errcheck // only a path

	fd, err := openBelow(rootFD, path)
	if err != nil {
		return nil, fmt.Errorf("error opening cgroup %s: %w", name, gone(err))
	}

	dir := &Dir{file: os.NewFile(uintptr(fd), name), number: fd, root: root, path: path}

	if err := dir.identify(); err != nil {
		dir.Close() //nolint:errcheck // the other error counts

		return nil, err
	}

	return dir, nil
}

// openBelow opens the directory at a path below another one. The kernel takes a path of at most unix.PathMax bytes at once,
// and cgroups can be nested deeper than that.
func openBelow(dir int, path string) (int, error) {
	above := dir

	for {
		next, rest := path, ""

		if len(path) >= unix.PathMax {
			end := strings.LastIndexByte(path[:unix.PathMax], '/')
			if end <= 0 {
				return -1, unix.ENAMETOOLONG
			}

			next, rest = path[:end], strings.TrimLeft(path[end:], "/")
		}

		fd, err := unix.Openat2(above, next, &unix.OpenHow{
			Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
			Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
		})

		if above != dir {
			unix.Close(above) //nolint:errcheck // read only
		}

		if err != nil || rest == "" {
			return fd, err
		}

		above, path = fd, rest
	}
}

func (d *Dir) identify() error {
	var fs unix.Statfs_t

	if err := unix.Fstatfs(d.fd(), &fs); err != nil {
		return fmt.Errorf("error looking at cgroup %s: %w", d.path, err)
	}

	if fs.Type != unix.CGROUP2_SUPER_MAGIC {
		return fmt.Errorf("%w: %s is not on a cgroup2 file system", ErrNotUnified, d.path)
	}

	var stat unix.Stat_t

	if err := unix.Fstat(d.fd(), &stat); err != nil {
		return fmt.Errorf("error looking at cgroup %s: %w", d.path, err)
	}

	d.id = ID{Device: uint64(stat.Dev), Inode: stat.Ino} //nolint:unconvert // Dev is 32 bits wide on some architectures

	return nil
}

func (d *Dir) fd() int { return d.number }

// Path relative to the root of the hierarchy.
func (d *Dir) Path() string { return d.path }

// ID of the cgroup.
func (d *Dir) ID() ID { return d.id }

// Close gives the directory up: nothing can be opened in it any more.
func (d *Dir) Close() error {
	d.number = -1

	return d.file.Close()
}

// openFile opens one of the cgroup's files.
func (d *Dir) openFile(name string, flags int) (*os.File, error) {
	fd, err := d.openFD(name, flags)
	if err != nil {
		return nil, err
	}

	return os.NewFile(uintptr(fd), name), nil
}

// openFD is openFile for what is closed right after: making an os.File costs system calls of its own.
func (d *Dir) openFD(name string, flags int) (int, error) {
	fd, err := unix.Openat(d.fd(), name, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		// A file may be missing because its controller is off; the cgroup is there all the same.
		if !errors.Is(err, unix.ENOENT) || !d.has(fileProcs) {
			err = gone(err)
		}

		return 0, fmt.Errorf("error opening %s of cgroup %s: %w", name, d.path, err)
	}

	return fd, nil
}

// ReadFile reads one of the cgroup's files.
func (d *Dir) ReadFile(name string) ([]byte, error) {
	fd, err := d.openFD(name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}

	defer unix.Close(fd) //nolint:errcheck // read only

	buf := make([]byte, 4096)

	n, err := unix.Pread(fd, buf, 0)
	if err != nil {
		return nil, fmt.Errorf("error reading %s of cgroup %s: %w", name, d.path, gone(err))
	}

	return buf[:n], nil
}

// writeFile writes one value. The kernel takes or refuses it as a whole.
func (d *Dir) writeFile(name, value string) error {
	fd, err := d.openFD(name, unix.O_WRONLY)
	if err != nil {
		return err
	}

	defer unix.Close(fd) //nolint:errcheck // a cgroup file has nothing to flush

	if _, err := unix.Write(fd, []byte(value)); err != nil {
		return fmt.Errorf("error writing %q to %s of cgroup %s: %w", value, name, d.path, gone(err))
	}

	return nil
}

// has tells whether the cgroup has a file of that name.
func (d *Dir) has(name string) bool {
	return unix.Faccessat(d.fd(), name, unix.F_OK, 0) == nil
}

// gone marks the errors by which the kernel says that the cgroup was removed: ENODEV on what is
// open, ENOENT on what is not.
func gone(err error) error {
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("%w: %w", ErrGone, err)
	}

	return err
}
