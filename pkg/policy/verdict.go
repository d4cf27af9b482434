// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/config"
)

// Outcome is what a ceiling did.
type Outcome string

// Outcomes.
const (
	// OutcomeHelped: what tripped the rule fell while the ceiling was in force.
	OutcomeHelped Outcome = "helped"
	// OutcomeNoEffect: it did not.
	OutcomeNoEffect Outcome = "no effect"
	// OutcomeHarmed: the workload starved, or advertised more slowly than its records last.
	OutcomeHarmed Outcome = "harmed"
	// OutcomeUnknown: there is nothing to compare with (a ceiling taken over from an earlier process).
	OutcomeUnknown Outcome = "unknown"
)

const (
	// helpedBelow is how far the signal must have fallen, as a share of what it was.
	helpedBelow = 0.8
	// starvedAbove is the share of the hold spent on the floor, with demand pressing, that counts as starving.
	starvedAbove = 0.5
)

// Verdict compares the workload before, under and after a ceiling.
//
// Under a ceiling CPU is censored: that it fell says little. Whether it stayed down afterwards does.
type Verdict struct {
	Rule   string `json:"rule"`
	Signal string `json:"signal"`
	// Before, During and After. After is the probe, or up to releaseAfter of freedom; its Over is 0 as
	// long as there is none.
	Before  Usage   `json:"before"`
	During  Usage   `json:"during"`
	After   Usage   `json:"after"`
	Outcome Outcome `json:"outcome"`
	// Ended tells that the signal stayed under the rule's threshold afterwards.
	Ended bool `json:"ended"`
	// Starved is how long the workload pressed on the floor.
	Starved time.Duration `json:"starved"`
	// Reason of the outcome.
	Reason string `json:"reason"`
}

// trial is a ceiling's time in force, from which the verdict is made.
type trial struct {
	rule     *rule
	before   Usage
	from, to Usage
	starved  time.Duration
	slowest  time.Duration
	ttl      time.Duration
	open     bool
}

func (t *trial) watch(sample *Sample, passed time.Duration, starving bool) {
	if starving {
		t.starved += passed
	}

	if sample.AdvertiseCycle > t.slowest {
		t.slowest, t.ttl = sample.AdvertiseCycle, sample.AdvertiseTTL
	}
}

// verdict judges; now is the odometer, of which everything after t.to is after the ceiling.
func (t *trial) verdict(now Usage) *Verdict {
	signal := t.signal()
	v := &Verdict{
		Rule: t.rule.config.Name, Signal: string(signal),
		Before: t.before, During: t.to.minus(t.from), After: now.minus(t.to), Starved: t.starved,
	}

	before, during, after := rateOf(signal, v.Before), rateOf(signal, v.During), rateOf(signal, v.After)

	if limit := t.rule.config.Limit(); limit > 0 && signal == t.rule.config.Signal {
		v.Ended = v.After.Over > 0 && after <= limit
	} else {
		v.Ended = v.After.Over > 0 && before > 0 && after <= helpedBelow*before
	}

	switch {
	case t.ttl > 0 && t.slowest > t.ttl:
		v.Outcome, v.Reason = OutcomeHarmed, "a round of advertising took "+t.slowest.String()+", records last "+t.ttl.String()
	case v.Starved > 0 && float64(v.Starved) > starvedAbove*float64(v.During.Over):
		v.Outcome, v.Reason = OutcomeHarmed, "pressed on the floor for "+v.Starved.Round(time.Second).String()
	case v.Before.Over <= 0 || v.During.Over <= 0 || before <= 0:
		v.Outcome, v.Reason = OutcomeUnknown, "nothing is known from before the ceiling"
	case during <= helpedBelow*before:
		v.Outcome, v.Reason = OutcomeHelped, "the signal fell under the ceiling"
	default:
		v.Outcome, v.Reason = OutcomeNoEffect, "the signal went on under the ceiling"
	}

	return v
}

// signal is what the verdict compares: the rule's own, or the processor's use for what has no amount.
func (t *trial) signal() config.Signal {
	if signal := t.rule.config.Signal; signal.Bytes() {
		return signal
	}

	return config.SignalCPU
}

func rateOf(signal config.Signal, usage Usage) float64 {
	switch signal {
	case config.SignalNetworkTX:
		return usage.TXPerSecond()
	case config.SignalNetworkRX:
		return usage.RXPerSecond()
	case config.SignalAllocation:
		return usage.AllocatedPerSecond()
	default:
		return usage.Cores()
	}
}
