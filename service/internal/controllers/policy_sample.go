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
	application := &stats.Application

	sample := policy.Sample{
		At:             stats.Clock,
		CPU:            policyCounter(stats.CPU, float64(stats.Counters.UsageUsec)/1e6),
		TX:             policyCounter(stats.TXBytesPerSecond, float64(stats.Counters.TXBytes)),
		RX:             policyCounter(stats.RXBytesPerSecond, float64(stats.Counters.RXBytes)),
		Allocation:     applicationCounter(application, application.AllocBytesPerSecond, application.Allocated),
		Pressure:       policyCounter(stats.CPUPressure, float64(stats.Counters.PressureUsec)/1e6),
		MirrorRequests: applicationCounter(application, application.MirrorRequestsPerSecond, application.MirrorRequests),
		MirrorHits:     applicationCounter(application, application.MirrorHitsPerSecond, application.MirrorHits),
		Unready:        applicationCounter(application, application.Ready, application.UnreadySeconds),
		Periods:        stats.Counters.Periods,
		Throttled:      stats.Counters.Throttled,
		ThrottledTime:  float64(stats.Counters.ThrottledUsec) / 1e6,
		Owner:          ceiling.owner,
		Applied:        ceiling.AppliedAtClock,
	}

	overrides.Mark(&sample)

	// The ceiling in force is an override's, and not the hold's. It stays until it is released, also after the override has ended.
	if ceiling.override > 0 {
		sample.Applied = 0

		if sample.Override == 0 {
			sample.Override = ceiling.override
		}
	}

	return sample
}

// applicationCounter: application metrics are read less often than samples are taken.
func applicationCounter(application *resources.ApplicationStats, reading resources.Reading, total float64) policy.Counter {
	counter := policyCounter(reading, total)
	if counter.Unavailable == "" {
		counter.At = application.Clock
	}

	return counter
}

// policyCounter: the policy makes its own rates, so a counter whose rate is still warming is available to it.
func policyCounter(reading resources.Reading, total float64) policy.Counter {
	if reading.Provenance == resources.ProvenanceUnavailable {
		return policy.Counter{Unavailable: reading.Reason}
	}

	return policy.Counter{Total: total}
}
