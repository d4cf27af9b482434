// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/decide"
)

// policySample returns what the policy sees of a sample under a ceiling.
func policySample(stats *resources.TargetStatsSpec, ceiling *ceilingInput, overrides *decide.Overrides) policy.Sample {
	sample := policy.Sample{
		At:            stats.Clock,
		CPU:           policyCounter(stats.CPU, float64(stats.Counters.UsageUsec)/1e6),
		TX:            policyCounter(stats.TXBytesPerSecond, float64(stats.Counters.TXBytes)),
		RX:            policyCounter(stats.RXBytesPerSecond, float64(stats.Counters.RXBytes)),
		Allocation:    policyCounter(stats.Application.AllocBytesPerSecond, stats.Application.Allocated),
		Pressure:      policyCounter(stats.CPUPressure, float64(stats.Counters.PressureUsec)/1e6),
		Periods:       stats.Counters.Periods,
		Throttled:     stats.Counters.Throttled,
		ThrottledTime: float64(stats.Counters.ThrottledUsec) / 1e6,
		Owner:         ceiling.owner,
		Applied:       ceiling.AppliedAtClock,
	}

	// Application metrics are read less often than samples are taken.
	if sample.Allocation.Unavailable == "" {
		sample.Allocation.At = stats.Application.Clock
	}

	overrides.Mark(&sample)

	return sample
}

// policyCounter: the policy makes its own rates, so a counter whose rate is still warming is available to it.
func policyCounter(reading resources.Reading, total float64) policy.Counter {
	if reading.Provenance == resources.ProvenanceUnavailable {
		return policy.Counter{Unavailable: reading.Reason}
	}

	return policy.Counter{Total: total}
}
