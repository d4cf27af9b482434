// SPDX-License-Identifier: MPL-2.0

package policy

import "time"

// Event is what a sample led to.
type Event string

// Events.
const (
	// EventTrip: a rule fired, and a ceiling is desired from now on.
	EventTrip Event = "trip"
	// EventStepDown and EventRelax: the desired ceiling changed.
	EventStepDown Event = "step-down"
	EventRelax    Event = "relax"
	// EventProbe: the hold is over, and the demand is throttled or between two thresholds; the ceiling is lifted to measure it.
	EventProbe Event = "probe"
	// EventRetrip: the probe found the breach going on, or could not measure; the ceiling is desired again.
	EventRetrip Event = "retrip"
	// EventRelease: no ceiling is desired any more.
	EventRelease Event = "release"
)

// Breach is a rule that a probe found above its threshold, and the average of its signal in the probe.
type Breach struct {
	Rule  *Rule
	Value float64
}

// Decision is the outcome of one sample.
type Decision struct {
	// Held is set while there is a Hold.
	Held bool
	Hold Hold
	// Event is empty when nothing changed.
	Event Event
	// NotInForce is set with a release at which the ceiling of the hold was not in force: no rule was above its threshold, but not each was
	// quiet.
	NotInForce bool
	// ThrottledRatio is the share of the enforcement periods with throttling, 0..1. Throttled is set when the
	// workload is held back by it.
	ThrottledRatio float64
	Throttled      bool
	// Limited is set while a ceiling or an override throttles the workload, which prevents a release by quiet.
	Limited bool
	// ReleasesIn is the time until the earliest release; 0 without a hold. Quiet is set when that is the release if nothing
	// changes: every rule is quiet, and the ceiling does not throttle the workload.
	ReleasesIn time.Duration
	Quiet      bool
	// ProbesIn is the time until a probe if nothing changes; 0 when none is foreseen.
	ProbesIn time.Duration
	// Breach is what the probe that a retrip ended has measured; its Rule is nil when that was nothing.
	Breach Breach
	// Rules in the configuration's order. The slice is the engine's and valid until the next step.
	Rules []RuleStatus
	// Learned is set when an hour of a baseline ended: the saved state has changed.
	Learned bool
	// Verdict on a ceiling that was lifted, or nil. That on a release by quiet comes when there is usage without the ceiling
	// to compare with.
	Verdict *Verdict
}
