//go:build linux

package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	fileMax   = "cpu.max"
	fileBurst = "cpu.max.burst"

	// journalXattr: the trusted namespace is for CAP_SYS_ADMIN alone, so no workload can forge a journal.
	journalXattr = "trusted.spegelguard"
)

// ErrNoJournal says that the cgroup carries no ceiling of the guard's.
var ErrNoJournal = errors.New("no journal")

// ReadCPUMax reads cpu.max.
func (d *Dir) ReadCPUMax() (CPUMax, error) {
	data, err := d.ReadFile(fileMax)
	if err != nil {
		return CPUMax{}, err
	}

	value, err := ParseCPUMax(string(data))
	if err != nil {
		return CPUMax{}, fmt.Errorf("error parsing cpu.max of cgroup %s: %w", d.path, err)
	}

	return value, nil
}

// ReadBurst reads cpu.max.burst in microseconds; 0 on a kernel that has none.
func (d *Dir) ReadBurst() uint64 {
	data, err := d.ReadFile(fileBurst)
	if err != nil {
		return 0
	}

	value, err := strconv.ParseUint(string(bytes.TrimSpace(data)), 10, 64)
	if err != nil {
		return 0
	}

	return value
}

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

func (d *Dir) writeJournal(j Journal) error {
	data, err := EncodeJournal(j)
	if err != nil {
		return err
	}

	if err := unix.Fsetxattr(d.fd(), journalXattr, data, 0); err != nil {
		return fmt.Errorf("error writing journal of cgroup %s: %w", d.path, gone(err))
	}

	return nil
}

// RemoveJournal forgets a journal without touching cpu.max.
func (d *Dir) RemoveJournal() error {
	if err := unix.Fremovexattr(d.fd(), journalXattr); err != nil && !errors.Is(err, unix.ENODATA) {
		return fmt.Errorf("error removing journal of cgroup %s: %w", d.path, gone(err))
	}

	return nil
}

// Apply puts the journal's ceiling in force and returns what the kernel says afterwards.
//
// The journal is written first: at no moment is there a ceiling that a restart could not take back.
func (d *Dir) Apply(j Journal) (CPUMax, error) {
	value, err := ParseCPUMax(j.Applied)
	if err != nil {
		return CPUMax{}, err
	}

	if err := d.writeJournal(j); err != nil {
		return CPUMax{}, err
	}

	// The kernel refuses a quota below the burst, so the burst steps down first (and up last).
	if burst := d.ReadBurst(); value.QuotaUsec != Unlimited && burst > uint64(value.QuotaUsec) {
		if err := d.writeFile(fileBurst, strconv.FormatInt(value.QuotaUsec, 10)); err != nil {
			return CPUMax{}, errors.Join(err, d.RemoveJournal())
		}
	}

	if err := d.writeFile(fileMax, value.String()); err != nil {
		return CPUMax{}, errors.Join(err, d.restoreBurst(j), d.RemoveJournal())
	}

	read, err := d.ReadCPUMax()
	if err == nil && read != value {
		err = fmt.Errorf("cpu.max of cgroup %s reads %q after writing %q", d.path, read, value)
	}

	if err != nil {
		// A ceiling that cannot be seen must not be left in force.
		_, restoreErr := d.Restore(j)

		return read, errors.Join(err, restoreErr)
	}

	return read, nil
}

// Restore takes the ceiling back and returns what the kernel says afterwards.
//
// A cpu.max that is not the ceiling was written by somebody else meanwhile: that is the owner's
// newest will, and it stays.
func (d *Dir) Restore(j Journal) (CPUMax, error) {
	current, err := d.ReadCPUMax()
	if err != nil {
		return CPUMax{}, err
	}

	if current.String() == j.Applied {
		if err := d.writeFile(fileMax, j.Original); err != nil {
			return current, err
		}
	}

	if err := d.restoreBurst(j); err != nil {
		return current, err
	}

	if current, err = d.ReadCPUMax(); err != nil {
		return CPUMax{}, err
	}

	return current, d.RemoveJournal()
}

func (d *Dir) restoreBurst(j Journal) error {
	if j.OriginalBurstUsec == 0 || d.ReadBurst() == j.OriginalBurstUsec {
		return nil
	}

	err := d.writeFile(fileBurst, strconv.FormatUint(j.OriginalBurstUsec, 10))
	if errors.Is(err, unix.EINVAL) {
		// The owner lowered the quota below the old burst: the burst of old has no place any more.
		return nil
	}

	return err
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
