// SPDX-License-Identifier: MPL-2.0

//go:build linux

package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/spegel-guard/spegel-guard/internal/bounded"
)

const (
	// maxDepth is how many levels are searched. A container's cgroup has five to eight; each level costs a descriptor.
	maxDepth = 128
	// maxName is how much of a path an error has, in bytes: the path of a deep cgroup is longer than anybody reads.
	maxName = 256
)

var errTooDeep = fmt.Errorf("it is nested in more than %d levels", maxDepth)

// FindJournals returns the paths (relative to root) of all cgroups that carry a journal, however deep they are nested. The
// error names the cgroups that could not be read; the journals on all others are returned beside it.
func FindJournals(root string) ([]string, error) {
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("error looking for journals below %s: %w", root, err)
	}

	s := &journalSearch{root: root}
	s.visit(fd, "", 0)

	return s.found, s.unread.Err("error looking for journals in %d more cgroups")
}

// journalSearch walks a hierarchy by descriptor: a path is longer than the kernel takes (unix.PathMax) in a deep one. It
// holds one descriptor for each level.
type journalSearch struct {
	root   string
	found  []string
	unread bounded.Errors
}

// visit looks at an open cgroup, closes it, and visits its children. The path is relative to the root.
func (s *journalSearch) visit(fd int, at string, depth int) {
	dir := os.NewFile(uintptr(fd), filepath.Join(s.root, at))
	defer dir.Close() //nolint:errcheck // read only

	switch _, err := unix.Fgetxattr(fd, journalXattr, nil); {
	case err == nil:
		s.found = append(s.found, at)
	case !errors.Is(err, unix.ENODATA):
		s.failed(at, err)
	}

	if depth == maxDepth {
		s.failed(at, errTooDeep)

		return
	}

	children, err := dir.ReadDir(-1)
	if err != nil {
		s.failed(at, err) // those read before it are visited
	}

	for _, child := range children {
		if !child.IsDir() {
			continue
		}

		below := path.Join(at, child.Name())

		fd, err := openBelow(int(dir.Fd()), child.Name())
		if err != nil {
			s.failed(below, err)

			continue
		}

		s.visit(fd, below, depth+1)
	}
}

// failed records a cgroup that cannot be read. One that was removed meanwhile has no journal.
func (s *journalSearch) failed(at string, err error) {
	if errors.Is(gone(err), ErrGone) {
		return
	}

	s.unread.Add(fmt.Errorf("error looking for journals in cgroup %.*s and below: %w", maxName, filepath.Join(s.root, at), err))
}
