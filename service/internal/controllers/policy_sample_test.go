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
		Application: resources.ApplicationStats{AllocBytesPerSecond: resources.Measured(1), Allocated: 4000, Clock: 50 * time.Second},
	}
	overrides := &decide.Overrides{Target: decide.Override{Kind: decide.Throttle, Millicores: 300}}

	ceiling := &ceilingInput{CeilingStatusSpec: resources.CeilingStatusSpec{AppliedAtClock: 40 * time.Second}, owner: 2}

	assert.Equal(t, policy.Sample{
		At: time.Minute, CPU: policy.Counter{Total: 1.5}, TX: policy.Counter{Total: 2000},
		RX: policy.Counter{Unavailable: "no link"}, Pressure: policy.Counter{Unavailable: "no PSI"},
		Allocation: policy.Counter{Total: 4000, At: 50 * time.Second},
		Periods:    10, Throttled: 4, ThrottledTime: 0.5, Owner: 2, Override: 0.3, Applied: 40 * time.Second,
	}, policySample(stats, ceiling, overrides))

	stats.Application = resources.ApplicationStats{AllocBytesPerSecond: resources.Unavailable("refused"), Clock: time.Second}
	assert.Equal(t, policy.Counter{Unavailable: "refused"}, policySample(stats, ceiling, overrides).Allocation)
}
