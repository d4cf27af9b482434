// SPDX-License-Identifier: MPL-2.0

//go:build linux

package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// journalXattr: the trusted namespace is for CAP_SYS_ADMIN alone, so no workload can forge a journal.
const journalXattr = "trusted.spegelguard"

// ErrNoJournal says that the cgroup has no journal.
var ErrNoJournal = errors.New("no journal")

// ReadJournal reads the journal; ErrNoJournal when there is none, ErrBadJournal when it is damaged.
func (d *Dir) ReadJournal() (Journal, error) {
	buf := make([]byte, 8192)

	n, err := unix.Fgetxattr(d.fd(), journalXattr, buf)

	switch {
	case errors.Is(err, unix.ENODATA):
		return Journal{}, ErrNoJournal
	case err != nil:
		return Journal{}, fmt.Errorf("error reading journal of cgroup %s: %w", d.path, gone(err))
	}

	return DecodeJournal(buf[:n])
}

// WriteJournal replaces the journal. It does not write cpu.max.
func (d *Dir) WriteJournal(j Journal) error {
	data, err := EncodeJournal(j)
	if err != nil {
		return err
	}

	if err := unix.Fsetxattr(d.fd(), journalXattr, data, 0); err != nil {
		return fmt.Errorf("error writing journal of cgroup %s: %w", d.path, gone(err))
	}

	return nil
}

// RemoveJournal removes the journal. It does not write cpu.max.
func (d *Dir) RemoveJournal() error {
	if err := unix.Fremovexattr(d.fd(), journalXattr); err != nil && !errors.Is(err, unix.ENODATA) {
		return fmt.Errorf("error removing journal of cgroup %s: %w", d.path, gone(err))
	}

	return nil
}

// FindJournals returns the paths (relative to root) of all cgroups that carry a journal.
func FindJournals(root string) ([]string, error) {
	var found []string

	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
				return nil // removed meanwhile
			}

			return err
		}

		if !entry.IsDir() {
			return nil
		}

		if _, err := unix.Lgetxattr(name, journalXattr, nil); err == nil {
			found = append(found, strings.TrimPrefix(strings.TrimPrefix(name, root), "/"))
		}

		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("error looking for journals below %s: %w", root, err)
	}

	return found, nil
}
