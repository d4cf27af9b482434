// SPDX-License-Identifier: MPL-2.0

//go:build linux

package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/spegel-guard/spegel-guard/internal/fault"
)

const (
	fileMax   = "cpu.max"
	fileBurst = "cpu.max.burst"
)

// ErrChanged says that somebody else wrote cpu.max between a look and a write; nothing was written.
var ErrChanged = errors.New("cpu.max was changed by somebody else")

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

// Apply puts the journal's ceiling in force, over the owner's value or over journal.Previous, and
// returns what the kernel says afterwards. ErrChanged when neither of them is in force any more.
//
// The journal is written first: at no moment is there a ceiling that a restart could not take back.
// When anything fails, the owner's value is put back and the journal removed.
func (d *Dir) Apply(j Journal) (CPUMax, error) {
	value, err := ParseCPUMax(j.Applied)
	if err != nil {
		return CPUMax{}, err
	}

	burst := value.room(j.OwnerBurstUsec)

	if err := value.Validate(burst); err != nil {
		return CPUMax{}, err
	}

	if err := d.WriteJournal(j); err != nil {
		return CPUMax{}, err
	}

	fault.Point(fault.Journaled)

	if err := d.put(j, value, burst); err != nil {
		_, restoreErr := d.Restore(j)

		return CPUMax{}, errors.Join(err, restoreErr)
	}

	fault.Point(fault.ReadBack)

	if j.Previous == "" {
		return value, nil
	}

	j.Previous = ""

	if err := d.WriteJournal(j); err != nil {
		return value, err // both names are still right
	}

	fault.Point(fault.Settled)

	return value, nil
}

// put writes burst and quota and reads the quota back.
func (d *Dir) put(j Journal, value CPUMax, burst uint64) error {
	// The journal took its time; whoever wrote meanwhile must not be written over.
	current, err := d.ReadCPUMax()
	if err != nil {
		return err
	}

	if text := current.String(); text != j.OwnerLimit && !j.Ours(current) {
		return fmt.Errorf("%w: it reads %q", ErrChanged, text)
	}

	// The kernel refuses a quota below the burst: down goes the burst first, up the quota.
	lower := d.ReadBurst() > burst

	if lower {
		if err := d.writeBurst(burst); err != nil {
			return err
		}

		fault.Point(fault.BurstLowered)
	}

	if err := d.writeFile(fileMax, value.String()); err != nil {
		return err
	}

	fault.Point(fault.Written)

	if !lower && j.OwnerBurstUsec > 0 && d.ReadBurst() < burst {
		if err := d.writeBurst(burst); err != nil {
			return err
		}
	}

	// A ceiling that cannot be seen must not be left in force.
	if current, err = d.ReadCPUMax(); err == nil && current != value {
		err = fmt.Errorf("cpu.max of cgroup %s reads %q after writing %q", d.path, current, value)
	}

	return err
}

// Restore takes the ceiling back and returns what the kernel says afterwards.
//
// A cpu.max that is not the ceiling was written by somebody else meanwhile: that is the owner's
// newest will, and it stays. The same goes for cpu.max.burst.
func (d *Dir) Restore(j Journal) (CPUMax, error) {
	current, err := d.ReadCPUMax()
	if err != nil {
		return CPUMax{}, err
	}

	if j.Ours(current) {
		if err := d.writeFile(fileMax, j.OwnerLimit); err != nil {
			return current, err
		}

		fault.Point(fault.Restored)
	}

	if err := d.restoreBurst(j); err != nil {
		return current, err
	}

	fault.Point(fault.BurstRestored)

	after, err := d.ReadCPUMax()
	if err != nil {
		return CPUMax{}, err
	}

	// The journal is all that is known of the owner's value: it stays until that is seen.
	if j.Ours(after) {
		return after, fmt.Errorf("cpu.max of cgroup %s still reads %q after writing %q", d.path, after, j.OwnerLimit)
	}

	if err := d.RemoveJournal(); err != nil {
		return after, err
	}

	fault.Point(fault.Forgotten)

	return after, nil
}

func (d *Dir) restoreBurst(j Journal) error {
	current := d.ReadBurst()

	if current == j.OwnerBurstUsec || !slices.Contains(j.bursts(), current) {
		return nil
	}

	err := d.writeBurst(j.OwnerBurstUsec)
	if errors.Is(err, unix.EINVAL) {
		// The owner lowered the quota below the old burst: the burst of old has no place any more.
		return nil
	}

	return err
}

func (d *Dir) writeBurst(usec uint64) error {
	return d.writeFile(fileBurst, strconv.FormatUint(usec, 10))
}
