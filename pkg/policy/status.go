// SPDX-License-Identifier: MPL-2.0

package policy

import "time"

// State of a rule.
type State string

// States of a rule: ok -> pending -> firing -> releasing -> ok.
const (
	// StateOK: the average is at or under the threshold.
	StateOK State = "ok"
	// StatePending: above the threshold, but not for long enough, or with credit left.
	StatePending State = "pending"
	// StateFiring: above the threshold for the rule's time, and not yet at the release threshold.
	StateFiring State = "firing"
	// StateReleasing: it fired, was at or under the release threshold and not above the threshold since,
	// but not for long enough.
	StateReleasing State = "releasing"
	// StateUnavailable: the signal cannot be read. An unavailable rule never trips and never releases.
	StateUnavailable State = "unavailable"
)

// RuleStatus is a rule's outcome for one sample.
type RuleStatus struct {
	Rule  *Rule
	State State
	// Value is the average over the window, in the signal's unit; 1 or 0 for an expression that is true or not;
	// 0 while unavailable.
	Value float64
	// Threshold is what the value is compared with, and Release what it is quiet at, in the same unit. With a baseline they change
	// with the usual level.
	Threshold, Release float64
	// Usual level of the signal, and Learned, how much time it is of; 0 without a baseline.
	Usual   float64
	Learned time.Duration
	// Since is when the state began.
	Since time.Duration
	// TripsIn is the time left until a pending rule fires if the value stays as it is; 0 if it does not, or that is unknown. Under a ceiling
	// it is 0 for a rule with credit, because the value is not the demand.
	TripsIn time.Duration
	// Credit is the level of the bucket of a rule with credit, 0..1.
	Credit float64
	// Unavailable is why the signal cannot be read.
	Unavailable string
}

// Learning reports whether too little of the signal's past is known for the rule to fire.
func (s *RuleStatus) Learning() bool { return s.Learned < s.Rule.Baseline.Learn }
