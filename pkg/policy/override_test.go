// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// TestEngine_SuspensionEndsHold: a suspension ends a hold at once and allows none; afterwards the rules, which went on
// measuring, decide again.
func TestEngine_SuspensionEndsHold(t *testing.T) {
	l, r := newLoop(t, cpuRule), &recorder{}

	l.Run(11*time.Minute, 1.8, r.see)
	require.Equal(t, []policy.Event{policy.EventTrip}, r.events())

	l.Plant.Sample.Suspended = true
	l.Run(time.Second, 1.8, r.see)
	require.Equal(t, []policy.Event{policy.EventTrip, policy.EventRelease}, r.events())
	assert.Empty(t, r.verdicts, "nothing was measured without the ceiling yet")

	l.Run(20*time.Minute, 1.8, r.see)
	require.Len(t, r.verdicts, 1)
	assert.Equal(t, policy.OutcomeContained, r.verdicts[0].Outcome)
	assert.Equal(t, "the breach goes on without the ceiling (1800m); under it CPU was 72 % lower, TX was 72 % lower, allocation was 72 % lower", r.verdicts[0].Reason)
	assert.False(t, r.last.Held)
	assert.Equal(t, policy.StateFiring, r.last.Rules[0].State, "the rule goes on measuring")
	require.Len(t, r.changes, 2)

	l.Plant.Sample.Suspended = false
	l.Run(time.Second, 1.8, r.see)
	require.Equal(t, []policy.Event{policy.EventTrip, policy.EventRelease, policy.EventTrip}, r.events())
	assert.True(t, r.last.Held)
}

// TestEngine_ShortSuspensionStartsForAgain: the time that a rule needs starts again with the release.
func TestEngine_ShortSuspensionStartsForAgain(t *testing.T) {
	l, r := newLoop(t, cpuRule), &recorder{}

	l.Run(11*time.Minute, 1.8, r.see)

	l.Plant.Sample.Suspended = true
	l.Run(time.Minute, 1.8, r.see)

	l.Plant.Sample.Suspended = false
	l.Run(8*time.Minute, 1.8, r.see)
	require.Equal(t, []policy.Event{policy.EventTrip, policy.EventRelease}, r.events())

	l.Run(3*time.Minute, 1.8, r.see)
	assert.Equal(t, []policy.Event{policy.EventTrip, policy.EventRelease, policy.EventTrip}, r.events())
}

// TestEngine_ProbesOnlyWhatItCanLift: under a limit as low as the hold's ceiling a probe would measure nothing.
func TestEngine_ProbesOnlyWhatItCanLift(t *testing.T) {
	for _, test := range []struct {
		name            string
		override, owner float64
		probes          bool
	}{
		{name: "no other limit", probes: true},
		{name: "lower override", override: 0.2},
		{name: "higher override", override: 0.9, probes: true},
		{name: "owner's limit as low", owner: 0.5},
	} {
		t.Run(test.name, func(t *testing.T) {
			l, r := newLoop(t, cpuRule), &recorder{}

			l.Run(11*time.Minute, 1.8, r.see)

			l.Override, l.Owner = test.override, test.owner
			l.Run(30*time.Minute, 1.8, r.see)

			assert.Equal(t, test.probes, slices.Contains(r.events(), policy.EventProbe), "%v", r.events())
		})
	}
}

// TestEngine_TakesNoLimitedProbeForTheDemand: low usage under an override does not show that the breach is over.
func TestEngine_TakesNoLimitedProbeForTheDemand(t *testing.T) {
	const ceiling = cpuRule + "ceiling: {cpu: 300m}"

	t.Run("probe", func(t *testing.T) {
		l, r := newLoop(t, ceiling), &recorder{}

		l.Run(11*time.Minute, 1.8, r.see)

		first := r.last.Hold.Until - r.last.Hold.Since

		l.Override = 0.35
		l.Run(30*time.Minute, 1.8, r.see)

		assert.LessOrEqual(t, r.last.Hold.Until-r.last.Hold.Since, first, "a probe that could not measure makes no hold longer")

		assert.Contains(t, r.events(), policy.EventRetrip)
		assert.NotContains(t, r.events(), policy.EventRelease)
		assert.True(t, r.last.Held)
		assert.Zero(t, r.last.Hold.FailedProbes, "it could not measure")

		for _, v := range r.verdicts {
			assert.Equal(t, policy.OutcomeUnknown, v.Outcome)
		}
	})

	t.Run("part of a probe", func(t *testing.T) {
		l, r := newLoop(t, ceiling), &recorder{}

		l.Run(11*time.Minute, 1.8, r.see)

		for !r.last.Hold.Probing {
			l.Run(time.Second, 1.8, r.see)
		}

		l.Override = 0.2
		l.Run(55*time.Second, 1.8, r.see)
		l.Override = 0
		l.Run(6*time.Second, 0.1, r.see)

		require.Equal(t, []policy.Event{policy.EventTrip, policy.EventProbe, policy.EventRetrip}, r.events())
		assert.Equal(t, policy.OutcomeUnknown, r.verdicts[0].Outcome)
	})

	t.Run("after a release", func(t *testing.T) {
		l, r := newLoop(t, cpuRule), &recorder{}

		l.Run(11*time.Minute, 1.8, r.see)

		for r.last.Held {
			l.Run(time.Second, 0.05, r.see)
		}

		l.Override = 0.2
		l.Run(10*time.Minute, 1.8, r.see)

		require.Len(t, r.verdicts, 1)
		assert.Equal(t, policy.OutcomeUnknown, r.verdicts[0].Outcome)
	})
}
