// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/decide"
)

func TestPolicySample_MapsCountersAndOverrides(t *testing.T) {
	stats := &resources.TargetStatsSpec{
		Clock: time.Minute,
		CPU:   resources.Measured(0.5), TXBytesPerSecond: resources.Warming(), RXBytesPerSecond: resources.Unavailable("no link"),
		CPUPressure: resources.Unavailable("no PSI"),
		Counters: resources.Counters{
			UsageUsec: 1_500_000, TXBytes: 2000, RXBytes: 3000, PressureUsec: 1, Periods: 10, Throttled: 4, ThrottledUsec: 500_000,
		},
		Application: resources.ApplicationStats{
			Clock: 50 * time.Second, AllocBytesPerSecond: resources.Measured(1), Allocated: 4000,
			MirrorRequestsPerSecond: resources.Measured(2), MirrorRequests: 100, MirrorHitsPerSecond: resources.Warming(), MirrorHits: 93,
			Ready: resources.Measured(0), UnreadySeconds: 20,
		},
	}
	overrides := &decide.Overrides{Target: decide.Override{Kind: decide.Throttle, Millicores: 300}}

	ceiling := &ceilingInput{CeilingStatusSpec: resources.CeilingStatusSpec{AppliedAtClock: 40 * time.Second}, owner: 2}

	assert.Equal(t, policy.Sample{
		At: time.Minute, CPU: policy.Counter{Total: 1.5}, TX: policy.Counter{Total: 2000},
		RX: policy.Counter{Unavailable: "no link"}, Pressure: policy.Counter{Unavailable: "no PSI"},
		Allocation:     policy.Counter{Total: 4000, At: 50 * time.Second},
		MirrorRequests: policy.Counter{Total: 100, At: 50 * time.Second},
		MirrorHits:     policy.Counter{Total: 93, At: 50 * time.Second},
		Unready:        policy.Counter{Total: 20, At: 50 * time.Second},

		Periods: 10, Throttled: 4, ThrottledTime: 0.5, Owner: 2, Override: 0.3, Applied: 40 * time.Second,
	}, policySample(stats, ceiling, overrides))

	// The ceiling of a person is none of a hold. It is in force until it is released.
	ceiling.override = 0.4
	assert.Zero(t, policySample(stats, ceiling, overrides).Applied)
	assert.Equal(t, 0.3, policySample(stats, ceiling, overrides).Override)
	assert.Equal(t, 0.4, policySample(stats, ceiling, &decide.Overrides{}).Override)

	refused := resources.Unavailable("refused")
	stats.Application = resources.ApplicationStats{
		Clock: time.Second, AllocBytesPerSecond: refused, MirrorRequestsPerSecond: refused, MirrorHitsPerSecond: refused, Ready: refused, UnreadySeconds: 20,
	}

	sample := policySample(stats, ceiling, overrides)
	for _, counter := range []policy.Counter{sample.Allocation, sample.MirrorRequests, sample.MirrorHits, sample.Unready} {
		assert.Equal(t, policy.Counter{Unavailable: "refused"}, counter)
	}
}
