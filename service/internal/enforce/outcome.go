// SPDX-License-Identifier: MPL-2.0

//go:build linux

package enforce

import "time"

// States of a ceiling. The same texts are served in CeilingStatuses.spegelguard.dev.
const (
	// StateApplied: the ceiling is in force.
	StateApplied = "applied"
	// StateObserved: the ceiling would be applied, but the mode is observe, or LastError prevents it.
	StateObserved = "observed"
	// StateOwnerLower: the owner's limit is as low or lower; nothing was written.
	StateOwnerLower = "owner-lower"
	// StateYielded: an external change of cpu.max stays in force until the back-off, or the hold, is over.
	StateYielded = "yielded"
	// StateTerminating: the container ends and gets no ceiling.
	StateTerminating = "terminating"
	// StateFailed: writing failed; LastError says why.
	StateFailed = "failed"
)

// Kinds of actions. The same texts are served in GuardActions.spegelguard.dev.
const (
	ActionApply          = "apply"
	ActionAdjust         = "adjust"
	ActionRelease        = "release"
	ActionProbe          = "probe"
	ActionAdopt          = "adopt"
	ActionExternalChange = "external-change"
	ActionObserve        = "would-apply"
	ActionFail           = "fail"
)

// Status is a ceiling as the kernel has it. Its State is empty without a ceiling. Clocks are CLOCK_BOOTTIME.
type Status struct {
	State       string
	ContainerID string
	Rule        string
	// OwnerLimit is the owner's cpu.max, Applied what was written, ReadBack what the kernel shows.
	OwnerLimit, Applied, ReadBack string
	// AppliedAt is when the ceiling in force was applied; 0 when none is.
	AppliedAt time.Duration
	// ExternalChanges counts the external changes of cpu.max under a ceiling of this container.
	ExternalChanges uint64
	LastError       string
	// Adopted: an earlier process applied the ceiling. Since and Until are its hold's.
	Adopted      bool
	Since, Until time.Duration
}

// Action is something that was done to a target, or decided not to be.
type Action struct {
	// At is CLOCK_BOOTTIME.
	At   time.Duration
	Kind string
	// Target is the workload's id.
	Target, ContainerID, Cgroup string
	Rule, Reason                string
	// Before and After are cpu.max as the kernel showed it.
	Before, After string
	// Err is what failed; nil for nothing.
	Err error
}
