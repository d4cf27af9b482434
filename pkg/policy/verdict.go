// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"fmt"
	"time"
)

// Outcome is what a ceiling did.
type Outcome string

// Outcomes.
const (
	// OutcomeEnded: the breach is over, without the ceiling, too.
	OutcomeEnded Outcome = "ended"
	// OutcomeContained: the breach goes on without the ceiling, and the workload used less under it.
	OutcomeContained Outcome = "contained"
	// OutcomeNoEffect: the breach goes on, and the workload did not use less under the ceiling.
	OutcomeNoEffect Outcome = "no effect"
	// OutcomeHarmed: under the ceiling the workload could not do its work.
	OutcomeHarmed Outcome = "harmed"
	// OutcomeUnknown: too little was measured.
	OutcomeUnknown Outcome = "unknown"
)

const (
	// effect is the share by which an amount must be lower under the ceiling to count as less.
	effect = 0.1
	// starvedAbove is the share of the ceiling's time throttled at the floor that counts as harm.
	starvedAbove = 0.5
)

// ContainedAfter is the number of probes in a row that must measure the breach again before the guard advises a restart of the
// workload.
const ContainedAfter = 2

// RestartAdvice advises a restart of a workload whose breach that many probes in a row have measured again; empty before
// ContainedAfter.
func RestartAdvice(failedProbes int) string {
	if failedProbes < ContainedAfter {
		return ""
	}

	return fmt.Sprintf("%d probes measured the breach again: restart the pod, because the ceiling does not end the breach", failedProbes)
}

// Verdict compares the workload before, under and after a ceiling.
//
// Under a ceiling CPU use cannot exceed it, so that it fell says nothing about the breach: whether that is over is measured
// without the ceiling. What the ceiling saved is what was used under it, per second, compared with the use without it.
type Verdict struct {
	Rule string `json:"rule"`
	// Before the trip, During the ceiling (from its write to its end), and After: the probe, or the time up to
	// ceiling.releaseAfter without a ceiling.
	Before  Usage   `json:"before"`
	During  Usage   `json:"during"`
	After   Usage   `json:"after"`
	Outcome Outcome `json:"outcome"`
	// FailedProbes is how many probes in a row have measured the breach again, this one included.
	FailedProbes int `json:"failedProbes,omitempty"`
	// Reason of the outcome.
	Reason string `json:"reason"`
}

// Restart reports whether the workload should be restarted: a ceiling contains it and does not end it.
func (v *Verdict) Restart() bool {
	return v.FailedProbes >= ContainedAfter && (v.Outcome == OutcomeContained || v.Outcome == OutcomeNoEffect)
}

// judge sets outcome and reason. Throttled is the time that the workload was throttled at the floor.
func (v *Verdict) judge(throttled time.Duration, end end) {
	less := v.less()

	switch harm := v.harm(throttled); {
	case harm != "":
		v.Outcome, v.Reason = OutcomeHarmed, harm
	case end == endUnknown:
		v.Outcome, v.Reason = OutcomeUnknown, "the time without the ceiling could not be measured"
	case end == endQuiet:
		v.Outcome, v.Reason = OutcomeEnded, fmt.Sprintf("the breach is over: %s without the ceiling", Cores.Format(v.After.Cores()))
	case v.During.Over <= 0 || v.After.Over <= 0:
		v.Outcome, v.Reason = OutcomeUnknown, "the breach goes on; the usage under the ceiling or without it was not measured"
	case less == "":
		v.Outcome, v.Reason = OutcomeNoEffect, fmt.Sprintf("the breach goes on without the ceiling (%s), and CPU, TX and allocation were not lower under it by a tenth or more", Cores.Format(v.After.Cores()))
	default:
		v.Outcome, v.Reason = OutcomeContained, fmt.Sprintf("the breach goes on without the ceiling (%s); under it %s", Cores.Format(v.After.Cores()), less)
	}

	if v.Restart() {
		v.Reason += "; restart the pod, because the ceiling does not end the breach"
	}
}

// less says what was lower under the ceiling than without it after it, and by how much; empty for nothing.
func (v *Verdict) less() string {
	text := ""

	for _, amount := range []struct {
		name   string
		signal *signal
	}{
		{"CPU", SignalCPU.row()}, {"TX", SignalNetworkTX.row()}, {"allocation", SignalAllocation.row()},
	} {
		during, after := amount.signal.usage(v.During), amount.signal.usage(v.After)

		if amount.signal.over(v.During) > 0 && after > 0 && during < (1-effect)*after {
			if text != "" {
				text += ", "
			}

			text += fmt.Sprintf("%s was %.0f %% lower", amount.name, 100*(1-during/after))
		}
	}

	return text
}
