// SPDX-License-Identifier: MPL-2.0

// Package fault names the moments of enforcement at which a crash would hurt the most, and one of deciding at which to hang.
//
// In a binary built with the tag "faults" the process kills itself at such a moment, or hangs, when it is told
// to (make faults); in every other one Point and Hang compile to nothing.
package fault

// Points of a ceiling's life, in the order they are passed.
const (
	// Journaled: the journal is on the cgroup, nothing else was written.
	Journaled = "journaled"
	// BurstLowered: cpu.max.burst fits under the ceiling, cpu.max is the owner's.
	BurstLowered = "burst-lowered"
	// Written: the ceiling is in cpu.max.
	Written = "written"
	// ReadBack: and it was seen there.
	ReadBack = "read-back"
	// Settled: the journal names one ceiling again, after a step from one to another.
	Settled = "settled"
	// Restored: cpu.max is the owner's, cpu.max.burst is not yet.
	Restored = "restored"
	// BurstRestored: both are the owner's, the journal is still there.
	BurstRestored = "burst-restored"
	// Removed: the journal is gone.
	Removed = "removed"
	// Saved: the decision is in the saved state. It was published before, and the ceiling may be in cpu.max or not.
	Saved = "saved"
)

// Deciding is before the decision on a sample. Here the goroutine hangs, and the process goes on.
const Deciding = "deciding"

// Points are those at which the process kills itself.
func Points() []string {
	return []string{Journaled, BurstLowered, Written, ReadBack, Settled, Restored, BurstRestored, Removed, Saved}
}

// Env holds the point to end or to hang at, and how many times it is passed before: "written:2".
const Env = "SPEGEL_GUARD_FAULT"
