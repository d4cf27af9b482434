// SPDX-License-Identifier: MPL-2.0

// Package decide turns a workload's samples and the overrides of people into the ceiling that should be in force.
//
// It is pure: it imports neither COSI nor the file system nor the network, and time comes from its callers.
package decide

import (
	"slices"
	"time"
)

// DesiredCeiling is the ceiling that should be in force for one workload now, and why. Times are CLOCK_BOOTTIME.
type DesiredCeiling struct {
	// Millicores is the ceiling in thousandths of a core, before the owner's limit is applied; 0 is no ceiling.
	Millicores int64
	// FloorMillicores is the lowest ceiling that may be written (ceiling.floor).
	FloorMillicores int64
	// Observe: the ceiling is reported and not written.
	Observe bool
	// Probing: the ceiling is lifted for a while to measure the demand without it.
	Probing bool
	// Yield: an external change of cpu.max stays in force for the rest of the hold (ceiling.conflict: yield).
	Yield bool
	// YieldedSince is the Since of a hold that yielded to an external change before the service restarted; 0 for none.
	YieldedSince time.Duration
	// Since is when the rule tripped or the override began, Until the earliest release.
	Since, Until time.Duration
	// Rule that tripped; RuleOverride when an override asks for the ceiling or suspends it; empty when nothing does.
	Rule string
	// Reason says why the ceiling is desired, or why none is.
	Reason string
	// ReleasesIn is the time until the earliest release, and Blockers are what prevents a release now. Quiet: the release comes
	// then if nothing changes. ProbesIn is the time until a probe if nothing changes; 0 when none is foreseen.
	ReleasesIn, ProbesIn time.Duration
	Quiet                bool
	Blockers             []string
	// FailedProbes is how many probes of this breach have measured it again.
	FailedProbes int
}

// None reports whether no ceiling should be in force.
func (d *DesiredCeiling) None() bool { return d.Millicores == 0 }

// Equal reports whether nothing differs.
func (d *DesiredCeiling) Equal(o *DesiredCeiling) bool {
	return d.Millicores == o.Millicores && d.FloorMillicores == o.FloorMillicores && d.Observe == o.Observe && d.Probing == o.Probing &&
		d.Yield == o.Yield && d.YieldedSince == o.YieldedSince && d.Since == o.Since && d.Until == o.Until &&
		d.Rule == o.Rule && d.Reason == o.Reason && d.ReleasesIn == o.ReleasesIn &&
		d.ProbesIn == o.ProbesIn && d.Quiet == o.Quiet && d.FailedProbes == o.FailedProbes && slices.Equal(d.Blockers, o.Blockers)
}
