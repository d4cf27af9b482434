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
	// EventProbe: the hold is over and demand is throttled; the ceiling is lifted to measure it.
	EventProbe Event = "probe"
	// EventRetrip: the probe found the breach going on, or could not measure; the ceiling is desired again.
	EventRetrip Event = "retrip"
	// EventRelease: no ceiling is desired any more.
	EventRelease Event = "release"
)

// Decision is the outcome of one sample.
type Decision struct {
	// Held is set while there is a Hold.
	Held bool
	Hold Hold
	// Event is empty when nothing changed.
	Event Event
	// ThrottledRatio is the share of the enforcement periods with throttling, 0..1. Throttled is set when the
	// workload is held back by it.
	ThrottledRatio float64
	Throttled      bool
	// ReleasesIn is the time left until release if all stays quiet; 0 without a hold.
	ReleasesIn time.Duration
	// Rules in the configuration's order. The slice is the engine's and valid until the next step.
	Rules []RuleStatus
	// Verdict on the ceiling that was lifted, or nil. A release by quiet has two: one at once, and one when there
	// is usage without the ceiling to compare with.
	Verdict *Verdict
}
