// SPDX-License-Identifier: MPL-2.0

package policy

import "time"

// Outcome is what a ceiling did.
type Outcome string

// Outcomes.
const (
	// OutcomeHelped: the signal of the rule that tripped fell while the ceiling was in force.
	OutcomeHelped Outcome = "helped"
	// OutcomeNoEffect: it did not.
	OutcomeNoEffect Outcome = "no effect"
	// OutcomeHarmed: the workload starved.
	OutcomeHarmed Outcome = "harmed"
	// OutcomeUnknown: there is nothing to compare with (a ceiling adopted from an earlier process).
	OutcomeUnknown Outcome = "unknown"
)

const (
	// helpedBelow is how far the signal must have fallen, as a share of what it was.
	helpedBelow = 0.8
	// starvedAbove is the share of the hold throttled at the floor that counts as starving.
	starvedAbove = 0.5
)

// Verdict compares the workload before, under and after a ceiling.
//
// The CPU use under a ceiling cannot exceed it, so that it fell says little; whether it stayed down afterwards does.
type Verdict struct {
	Rule string `json:"rule"`
	// Before, During and After. After is the probe, or up to ceiling.releaseAfter without a ceiling; its Over is 0 as
	// long as there is none.
	Before  Usage   `json:"before"`
	During  Usage   `json:"during"`
	After   Usage   `json:"after"`
	Outcome Outcome `json:"outcome"`
	// Ended is set when the signal stayed under the rule's threshold afterwards.
	Ended bool `json:"ended"`
	// Reason of the outcome.
	Reason string `json:"reason"`
}

// judge sets the outcome by a signal's rate. Without a threshold (0), the signal ended when it fell as far as
// helpedBelow. throttled is the time that the workload was throttled at the floor.
func (v *Verdict) judge(rate func(Usage) float64, threshold float64, throttled time.Duration) {
	before, during, after := rate(v.Before), rate(v.During), rate(v.After)

	if threshold > 0 {
		v.Ended = v.After.Over > 0 && after <= threshold
	} else {
		v.Ended = v.After.Over > 0 && before > 0 && after <= helpedBelow*before
	}

	switch {
	case throttled > 0 && float64(throttled) > starvedAbove*float64(v.During.Over):
		v.Outcome, v.Reason = OutcomeHarmed, "throttled at the floor for "+throttled.Round(time.Second).String()
	case v.Before.Over <= 0 || v.During.Over <= 0 || before <= 0:
		v.Outcome, v.Reason = OutcomeUnknown, "no usage from before the ceiling is available"
	case during <= helpedBelow*before:
		v.Outcome, v.Reason = OutcomeHelped, "the signal fell under the ceiling"
	default:
		v.Outcome, v.Reason = OutcomeNoEffect, "the signal did not fall under the ceiling"
	}
}
