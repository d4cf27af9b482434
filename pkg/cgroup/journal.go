// SPDX-License-Identifier: MPL-2.0

package cgroup

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"time"
)

// JournalVersion is written into each journal. Version 1, which has no Previous, is read too. A newer one keeps the checksum
// and the number of the version in its JSON.
const JournalVersion = 2

// ErrBadJournal says that a journal is damaged or of an unknown version.
var ErrBadJournal = errors.New("journal cannot be read")

// Journal is what is needed to restore the owner's limit under a ceiling. It is stored on the cgroup itself, so it
// survives the process and ends with the cgroup.
type Journal struct {
	Version int `json:"version"`
	// Target is the workload: <namespace>/<pod>/<container>.
	Target string `json:"target"`
	// Rule and Reason of the ceiling.
	Rule   string `json:"rule"`
	Reason string `json:"reason"`
	// OwnerLimit is the owner's cpu.max, OwnerBurstUsec the owner's cpu.max.burst in microseconds.
	OwnerLimit     string `json:"original"`
	OwnerBurstUsec uint64 `json:"originalBurstUsec,omitempty"`
	// Applied is the ceiling.
	Applied string `json:"applied"`
	// Previous is the ceiling that Applied replaces, while that is being written: a crash may leave either in force.
	Previous string `json:"previous,omitempty"`
	// Since and HoldUntil on CLOCK_BOOTTIME, which continues over restarts of the guard.
	Since     time.Duration `json:"since"`
	HoldUntil time.Duration `json:"holdUntil"`
	// BootID identifies the boot (/proc/sys/kernel/random/boot_id).
	BootID string `json:"bootID"`
}

// EncodeJournal writes the journal as JSON behind its checksum. It returns an error for one that DecodeJournal would refuse.
func EncodeJournal(j Journal) ([]byte, error) {
	j.Version = JournalVersion

	if err := j.validate(); err != nil {
		return nil, fmt.Errorf("error encoding journal: %w", err)
	}

	data, err := json.Marshal(j)
	if err != nil {
		return nil, fmt.Errorf("error encoding journal: %w", err)
	}

	return fmt.Appendf(nil, "%08x %s", crc32.ChecksumIEEE(data), data), nil
}

// DecodeJournal reads what EncodeJournal wrote; ErrBadJournal for anything else.
func DecodeJournal(data []byte) (Journal, error) {
	sum, body, ok := strings.Cut(string(data), " ")
	if !ok || sum != fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(body))) {
		return Journal{}, fmt.Errorf("%w: checksum does not match", ErrBadJournal)
	}

	// The version first: the values of another one may have other types.
	var format struct {
		Version int `json:"version"`
	}

	err := json.Unmarshal([]byte(body), &format)

	switch {
	case err != nil:
		return Journal{}, fmt.Errorf("%w: %w", ErrBadJournal, err)
	case format.Version > JournalVersion:
		return Journal{}, fmt.Errorf("%w: a newer spegel-guard wrote it (version %d, this guard knows 1..%d): run that guard, which restores the limit",
			ErrBadJournal, format.Version, JournalVersion)
	case format.Version < 1:
		return Journal{}, fmt.Errorf("%w: version %d, this guard knows 1..%d", ErrBadJournal, format.Version, JournalVersion)
	}

	var j Journal

	if err := json.Unmarshal([]byte(body), &j); err != nil {
		return Journal{}, fmt.Errorf("%w: %w", ErrBadJournal, err)
	}

	if err := j.validate(); err != nil {
		return Journal{}, fmt.Errorf("%w: %w", ErrBadJournal, err)
	}

	return j, nil
}

// validate returns an error for values that no ceiling has: one that is not below the owner's limit, or a burst that the
// kernel does not take.
func (j Journal) validate() error {
	owner, err := ParseCPUMax(j.OwnerLimit)
	if err != nil {
		return err
	}

	ceilings := []string{j.Applied}
	if j.Previous != "" {
		ceilings = append(ceilings, j.Previous)
	}

	for _, text := range ceilings {
		ceiling, err := ParseCPUMax(text)
		if err != nil {
			return err
		}

		if ceiling.QuotaUsec == Unlimited || owner.QuotaUsec != Unlimited && !ceiling.less(owner) {
			return fmt.Errorf("ceiling %q is not below the owner's limit %q", text, j.OwnerLimit)
		}
	}

	if j.OwnerBurstUsec > maxQuotaUsec {
		return fmt.Errorf("cpu.max.burst %d us of the owner is more than the kernel takes: at most %d", j.OwnerBurstUsec, int64(maxQuotaUsec))
	}

	return nil
}

// Ours reports whether a cpu.max is a ceiling of this journal, also one that the kernel doubled.
func (j Journal) Ours(value CPUMax) bool { return value.Reads(j.Applied) || value.Reads(j.Previous) }

// Owners reports whether a cpu.max is the owner's limit of this journal.
func (j Journal) Owners(value CPUMax) bool { return value.Reads(j.OwnerLimit) }

// OwnerBurst returns the owner's cpu.max.burst in microseconds under a ceiling that is in force, from what cpu.max and cpu.max.burst read:
// the journal's, or one that was set beside the ceiling.
func (j Journal) OwnerBurst(current CPUMax, burst uint64) uint64 {
	if _, doubled := j.halvedBurst(current, burst); doubled || slices.Contains(j.bursts(), burst) {
		return j.OwnerBurstUsec
	}

	return burst
}

// bursts are the values of cpu.max.burst the guard may have written: the owner's, as far as each
// ceiling has room for it.
func (j Journal) bursts() []uint64 {
	var bursts []uint64

	for _, ceiling := range j.ceilings() {
		bursts = append(bursts, ceiling.room(j.OwnerBurstUsec))
	}

	return bursts
}

// halvedBurst returns the burst of the guard that the kernel made this one of when it doubled the quota beside it. A crash may have left the
// burst of either ceiling, also beside the owner's limit, and it has been doubled as often as the quota or less. The result is false for
// any other burst.
func (j Journal) halvedBurst(current CPUMax, burst uint64) (uint64, bool) {
	// A doubled quota may have room for all of the owner's.
	quotas, written := j.ceilings(), append(j.bursts(), j.OwnerBurstUsec)
	if slices.Contains(written, burst) {
		return 0, false
	}

	if owner, err := ParseCPUMax(j.OwnerLimit); err == nil && j.Owners(current) {
		// The owner's own burst belongs to the doubled limit.
		quotas, written = []CPUMax{owner}, slices.DeleteFunc(written, func(usec uint64) bool { return usec == j.OwnerBurstUsec })
	}

	for _, quota := range quotas {
		for factor := current.doubled(quota); factor > 1; factor /= 2 {
			if half := burst / factor; half*factor == burst && slices.Contains(written, half) {
				return half, true
			}
		}
	}

	return 0, false
}

// ceilings are Applied and Previous.
func (j Journal) ceilings() []CPUMax {
	var ceilings []CPUMax

	for _, text := range []string{j.Applied, j.Previous} {
		if value, err := ParseCPUMax(text); err == nil {
			ceilings = append(ceilings, value)
		}
	}

	return ceilings
}
