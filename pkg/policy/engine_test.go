// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

func TestEngine_TripsAfterForOnly(t *testing.T) {
	l, r := newLoop(t, cpuRule), &recorder{}

	l.Run(5*time.Minute, 0.25, r.see)
	require.Empty(t, r.changes)

	// The window's average passes 0.4 cores a few seconds into the breach: (0.4-0.25)/(1.8-0.25) of a minute.
	l.Run(15*time.Minute, 1.8, r.see)
	require.Equal(t, []policy.Event{policy.EventTrip}, r.events())
	assert.GreaterOrEqual(t, r.changes[0].at, 15*time.Minute)
	assert.Less(t, r.changes[0].at, 15*time.Minute+10*time.Second)
	assert.Equal(t, policy.Hold{Rule: "CPU", Since: r.changes[0].at, Until: r.changes[0].at + 10*time.Minute, Millicores: 500}, r.last.Hold)
}

func TestEngine_ReleasesAfterHoldAndQuiet(t *testing.T) {
	l, r := newLoop(t, cpuRule), &recorder{}

	l.Run(11*time.Minute, 1.8, r.see)
	require.Equal(t, []policy.Event{policy.EventTrip}, r.events())

	l.Run(time.Hour, 0.05, r.see)
	require.Equal(t, []policy.Event{policy.EventTrip, policy.EventRelease}, r.events())
	assert.Equal(t, 10*time.Minute, r.changes[1].at-r.changes[0].at, "the hold is the longer of the two")
}

// TestEngine_ProbesThrottledDemand: usage under a ceiling is never taken for quiet; after the hold the ceiling is lifted
// until the breach is certain, and each hold is longer.
func TestEngine_ProbesThrottledDemand(t *testing.T) {
	l, r := newLoop(t, cpuRule+"ceiling: {cpu: 300m}"), &recorder{}

	l.Run(5*time.Hour, 1.8, r.see)

	require.GreaterOrEqual(t, len(r.changes), 9)

	hold := 10 * time.Minute

	for i := 1; i+1 < 9; i += 2 {
		probe, retrip := r.changes[i], r.changes[i+1]
		require.Equal(t, policy.EventProbe, probe.event)
		require.Equal(t, policy.EventRetrip, retrip.event)
		assert.Equal(t, hold, probe.at-r.changes[i-1].at)
		assert.Less(t, retrip.at-probe.at, 15*time.Second, "0.4 cores for a minute are 24 core-seconds, spent in 13.3 s")

		hold = min(2*hold, 2*time.Hour)
	}

	for _, v := range r.verdicts {
		assert.Equal(t, policy.OutcomeContained, v.Outcome, "the demand goes on")
		assert.InDelta(t, 1.8, v.Before.Cores(), 0.01)
		assert.InDelta(t, 0.3, v.During.Cores(), 0.02)
	}
}

func TestEngine_ReleasesWhenProbeFindsNoBreach(t *testing.T) {
	l, r := newLoop(t, cpuRule+"ceiling: {cpu: 150m}"), &recorder{}

	l.Run(12*time.Minute, 1.8, r.see)
	// It is throttled by the ceiling, and no breach without it.
	l.Run(time.Hour, 0.2, r.see)

	require.Equal(t, []policy.Event{policy.EventTrip, policy.EventProbe, policy.EventRelease}, r.events())
	assert.Equal(t, time.Minute, r.changes[2].at-r.changes[1].at)
	require.NotEmpty(t, r.verdicts)
	assert.Equal(t, policy.OutcomeEnded, r.verdicts[0].Outcome)
	assert.InDelta(t, 0.2, r.verdicts[0].After.Cores(), 0.01)
}

// TestEngine_ReleasesBetweenThresholds: never down at the release threshold, nor above the threshold any more.
func TestEngine_ReleasesBetweenThresholds(t *testing.T) {
	l, r := newLoop(t, cpuRule), &recorder{}

	l.Run(11*time.Minute, 1.8, r.see)
	l.Run(time.Hour, 0.35, r.see)
	assert.Equal(t, []policy.Event{policy.EventTrip, policy.EventProbe, policy.EventRelease}, r.events())

	// Once down, what is between the two does not trip again.
	l, r = newLoop(t, cpuRule), &recorder{}

	l.Run(11*time.Minute, 1.8, r.see)
	l.Run(2*time.Minute, 0.1, r.see)
	l.Run(time.Hour, 0.35, r.see)
	assert.Equal(t, []policy.Event{policy.EventTrip, policy.EventRelease}, r.events())
}

func TestEngine_KeepsCeilingWithoutProbe(t *testing.T) {
	l, r := newLoop(t, cpuRule+"ceiling: {cpu: 300m, probe: 0s}"), &recorder{}

	l.Run(24*time.Hour, 1.8, r.see)
	assert.Equal(t, []policy.Event{policy.EventTrip}, r.events())
}

func TestEngine_BackoffDecaysWhenQuiet(t *testing.T) {
	l, r := newLoop(t, cpuRule), &recorder{}

	holdOf := func() time.Duration {
		last := r.changes[len(r.changes)-1].decision.Hold

		return last.Until - last.Since
	}

	for _, want := range []time.Duration{10 * time.Minute, 20 * time.Minute, 40 * time.Minute} {
		l.Run(11*time.Minute, 1.8, r.see)
		require.Equal(t, policy.EventTrip, r.changes[len(r.changes)-1].event)
		assert.Equal(t, want, holdOf())
		l.Run(time.Hour, 0.01, r.see)
	}

	// 2 quiet hours and a bit remove one doubling: 40m again, not 80m.
	l.Run(2*time.Hour, 0.01, r.see)
	l.Run(11*time.Minute, 1.8, r.see)
	assert.Equal(t, 40*time.Minute, holdOf())
}

// TestEngine_JudgesReleaseLater: when there is usage without the ceiling.
func TestEngine_JudgesReleaseLater(t *testing.T) {
	l, r := newLoop(t, cpuRule), &recorder{}

	l.Run(11*time.Minute, 1.8, r.see)
	l.Run(time.Hour, 0.01, r.see)

	require.Len(t, r.verdicts, 1)
	assert.Equal(t, 5*time.Minute, r.verdicts[0].After.Over)
	assert.Equal(t, policy.OutcomeEnded, r.verdicts[0].Outcome)
	assert.Equal(t, "the breach is over: 10m without the ceiling", r.verdicts[0].Reason)
}
