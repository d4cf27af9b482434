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

// ErrChanged says that cpu.max was changed externally between a read and a write; nothing was written.
var ErrChanged = errors.New("cpu.max was changed externally")

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
func (d *Dir) ReadBurst() (uint64, error) {
	data, err := d.ReadFile(fileBurst)
	if errors.Is(err, unix.ENOENT) && !errors.Is(err, ErrGone) {
		return 0, nil
	}

	if err != nil {
		return 0, err
	}

	value, err := strconv.ParseUint(string(bytes.TrimSpace(data)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("cpu.max.burst of cgroup %s: %w: %q", d.path, ErrMalformed, data)
	}

	return value, nil
}

// Apply writes the journal's ceiling over the owner's limit or over journal.Previous, and returns cpu.max as it reads
// afterwards. It returns ErrChanged when neither of them is in force.
//
// The journal is written first, so that a restart can restore the owner's limit at any moment. When anything fails,
// Restore follows: an external change stays in force.
func (d *Dir) Apply(j Journal) (CPUMax, error) {
	value, err := ParseCPUMax(j.Applied)
	if err != nil {
		return CPUMax{}, err
	}

	if err := value.Validate(value.room(j.OwnerBurstUsec)); err != nil {
		return CPUMax{}, err
	}

	if err := d.WriteJournal(j); err != nil {
		return CPUMax{}, err
	}

	fault.Point(fault.Journaled)

	if err := d.write(j, value); err != nil {
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

// write writes burst and quota and reads the quota back.
func (d *Dir) write(j Journal, value CPUMax) error {
	// Writing the journal took time: an external change since then must not be overwritten.
	was, current, err := d.halve(j)
	if err != nil {
		return err
	}

	// Doubled, the owner's limit would have another burst than the journal has.
	if text := current.String(); text != j.OwnerLimit && !j.Ours(current) {
		return fmt.Errorf("%w: it reads %q", ErrChanged, text)
	}

	// The kernel refuses a quota below the burst: the burst is lowered first, and raised last. One that was set since the journal was
	// written is lowered no further than that.
	burst := value.room(j.OwnerBurst(current, was))
	raise := was < burst

	if was > burst {
		if err := d.writeBurst(burst); err != nil {
			return err
		}

		fault.Point(fault.BurstLowered)
	}

	if err := d.writeFile(fileMax, value.String()); err != nil {
		return err
	}

	fault.Point(fault.Written)

	if raise {
		if err := d.writeBurst(burst); err != nil {
			return err
		}
	}

	// A quota that reads back as something else is an external change.
	if current, err = d.ReadCPUMax(); err == nil && !current.Reads(value.String()) {
		err = fmt.Errorf("cpu.max of cgroup %s reads %q after writing %q", d.path, current, value)
	}

	return err
}

// Restore writes the owner's limit back and returns cpu.max as it reads afterwards.
//
// A cpu.max that is not the ceiling was changed externally: it stays in force. The same is true of cpu.max.burst.
func (d *Dir) Restore(j Journal) (CPUMax, error) {
	burst, current, err := d.halve(j)
	if err != nil {
		return current, err
	}

	if j.Ours(current) {
		if err := d.fit(burst, j.OwnerLimit); err != nil {
			return current, err
		}

		if err := d.writeFile(fileMax, j.OwnerLimit); err != nil {
			return current, err
		}

		fault.Point(fault.Restored)
	}

	after, err := d.ReadCPUMax()
	if err != nil {
		return current, err
	}

	if err := d.restoreBurst(j, after); err != nil {
		return after, err
	}

	fault.Point(fault.BurstRestored)

	// Only the journal knows the owner's limit: it stays until that reads back.
	if j.Ours(after) {
		return after, fmt.Errorf("cpu.max of cgroup %s still reads %q after writing %q", d.path, after, j.OwnerLimit)
	}

	if err := d.RemoveJournal(); err != nil {
		return after, err
	}

	fault.Point(fault.Removed)

	return after, nil
}

// halve reads burst and quota, and writes a burst of the guard again that the kernel doubled together with the quota: after the next quota
// nothing would distinguish it from an external change.
func (d *Dir) halve(j Journal) (burst uint64, current CPUMax, err error) {
	burst, current, err = d.readBoth()
	if err != nil {
		return 0, current, err
	}

	if half, ok := j.halvedBurst(current, burst); ok {
		return half, current, d.writeBurst(half)
	}

	return burst, current, nil
}

// readBoth reads a burst and a quota of the same moment: the kernel may double both in between.
func (d *Dir) readBoth() (burst uint64, current CPUMax, err error) {
	before, err := d.ReadCPUMax()
	if err != nil {
		return 0, CPUMax{}, err
	}

	// It doubles nine times at the most. Others may write without end.
	for range 10 {
		if burst, err = d.ReadBurst(); err != nil {
			return 0, before, err
		}

		if current, err = d.ReadCPUMax(); err != nil || current == before {
			break
		}

		before = current
	}

	return burst, current, err
}

// fit lowers a burst, which was changed externally, to the owner's quota if it is above that: the kernel would refuse the quota.
func (d *Dir) fit(burst uint64, ownerLimit string) error {
	owner, err := ParseCPUMax(ownerLimit)
	if err != nil {
		return err
	}

	if room := owner.room(burst); room < burst {
		return d.writeBurst(room)
	}

	return nil
}

// restoreBurst writes the owner's burst as far as the quota has room for it: the owner may have lowered the quota below.
func (d *Dir) restoreBurst(j Journal, quota CPUMax) error {
	current, err := d.ReadBurst()
	if err != nil {
		return err
	}

	if current == j.OwnerBurstUsec || !slices.Contains(j.bursts(), current) {
		return nil
	}

	return d.writeBurst(quota.room(j.OwnerBurstUsec))
}

func (d *Dir) writeBurst(usec uint64) error {
	return d.writeFile(fileBurst, strconv.FormatUint(usec, 10))
}
