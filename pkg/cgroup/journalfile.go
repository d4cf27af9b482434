// SPDX-License-Identifier: MPL-2.0

//go:build linux

package cgroup

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// journalXattr: the trusted namespace is for CAP_SYS_ADMIN alone, so no workload can forge a journal.
const journalXattr = "trusted.spegelguard"

// ErrNoJournal says that the cgroup has no journal.
var ErrNoJournal = errors.New("no journal")

// ReadJournal reads the journal; ErrNoJournal when there is none, ErrBadJournal when it is damaged.
func (d *Dir) ReadJournal() (Journal, error) {
	data, err := d.readXattr()

	switch {
	case errors.Is(err, unix.ENODATA):
		return Journal{}, ErrNoJournal
	case err != nil:
		return Journal{}, fmt.Errorf("error reading journal of cgroup %s: %w", d.path, gone(err))
	}

	return DecodeJournal(data)
}

// readXattr returns the journal's attribute. It is as long as the reason that it has; only the guard writes it, so its length does
// not change between the two calls.
func (d *Dir) readXattr() ([]byte, error) {
	length, err := unix.Fgetxattr(d.fd(), journalXattr, nil)
	if err != nil {
		return nil, err
	}

	data := make([]byte, length)

	n, err := unix.Fgetxattr(d.fd(), journalXattr, data)
	if err != nil {
		return nil, err
	}

	return data[:n], nil
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
