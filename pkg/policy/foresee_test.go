// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/test/plant"
)

// TestDecision_ForetellsWhatHappens: after any demand, a release that is said to follow if nothing changes follows at that time,
// a probe that is said to follow does, or is not said any more, and there is no release before the earliest.
func TestDecision_ForetellsWhatHappens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg, err := config.Parse([]byte(drawDocument(t)))
		require.NoError(t, err)

		l := &plant.Loop{Engine: policy.New(cfg.Policy(), policy.Options{Seed: 1}), Step: time.Second}

		var now policy.Decision

		for range rapid.IntRange(1, 20).Draw(t, "changes") {
			l.Run(time.Duration(rapid.IntRange(1, 90).Draw(t, "seconds"))*time.Second, rapid.Float64Range(0, 2).Draw(t, "demand"),
				func(_ policy.Sample, d policy.Decision) { now = d })
		}

		// Demand goes on as it was, or ends.
		demand := 0.0
		if !now.Quiet {
			demand = rapid.Float64Range(0, 2).Draw(t, "next")
		}

		said, passed := now, time.Duration(0)

		l.Run(10*time.Minute, demand, func(_ policy.Sample, d policy.Decision) {
			passed += l.Step

			if said.Held && d.Event == policy.EventRelease && passed <= said.ReleasesIn-l.Step {
				t.Fatalf("released after %s, said at the earliest %s", passed, said.ReleasesIn)
			}

			switch {
			case said.Quiet:
				require.Equal(t, passed >= said.ReleasesIn, !d.Held, "after %s, said %s", passed, said.ReleasesIn)
				said.Quiet = passed < said.ReleasesIn
			case said.ProbesIn > 0 && passed >= said.ProbesIn:
				require.True(t, d.Hold.Probing || d.Event == policy.EventRetrip || d.ProbesIn == 0, "no probe after %s", passed)
				said.ProbesIn = 0
			case said.ProbesIn > 0 && (d.ProbesIn == 0 || d.Throttled != said.Throttled):
				said.ProbesIn = 0 // withdrawn
			}

			if !d.Held {
				said = policy.Decision{}
			}
		})
	})
}

func TestDecision_ForetellsNoReleaseUnderDemand(t *testing.T) {
	l, r := newLoop(t, cpuRule), &recorder{}

	l.Run(15*time.Minute, 1.8, r.see)
	require.True(t, r.last.Held)
	assert.False(t, r.last.Quiet, "the ceiling throttles it")
	assert.Equal(t, r.last.Hold.Until-l.Plant.Sample.At, r.last.ProbesIn)
	assert.Equal(t, r.last.ProbesIn, r.last.ReleasesIn, "if the demand ends")

	l.Run(3*time.Minute, 0.01, r.see)
	assert.True(t, r.last.Quiet)
	assert.Zero(t, r.last.ProbesIn)
}

// TestDecision_ForetellsAProbeBetweenThresholds: such a workload is not throttled and does not become quiet.
func TestDecision_ForetellsAProbeBetweenThresholds(t *testing.T) {
	for _, test := range []struct {
		name, document string
		foretold       bool
	}{
		{"in the hold", "", true},
		{"after the hold", "ceiling: {hold: 2m, backoff: {max: 2m}}", true},
		{"longer than the release takes", "ceiling: {releaseAfter: 30m}", true},
		{"no probe", "ceiling: {probe: 0s}", false},
		{"adaptive", "ceiling: {strategy: adaptive}", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			l, r := newLoop(t, cpuRule+test.document), &recorder{}

			// The thresholds are 280m and 400m.
			l.Run(11*time.Minute, 1.8, r.see)
			l.Run(3*time.Minute, 0.35, r.see)
			require.True(t, r.last.Held)
			require.False(t, r.last.Quiet || r.last.Throttled || r.last.Hold.Probing)

			if !test.foretold {
				assert.Zero(t, r.last.ProbesIn)

				return
			}

			require.Positive(t, r.last.ProbesIn)

			seen, releases := len(r.changes), l.Plant.Sample.At+r.last.ReleasesIn
			l.Run(r.last.ProbesIn-l.Step, 0.35, r.see)
			assert.Len(t, r.changes, seen, "not earlier")

			l.Run(l.Step, 0.35, r.see)
			assert.True(t, r.last.Hold.Probing)
			assert.LessOrEqual(t, releases, l.Plant.Sample.At+r.last.ReleasesIn, "a release follows the probe at the earliest")
			assert.GreaterOrEqual(t, releases, l.Plant.Sample.At, "and not before it")
		})
	}
}

// TestDecision_ForetellsNoTripUnderACeiling: the credit is spent by what the workload may use, not by what it would.
func TestDecision_ForetellsNoTripUnderACeiling(t *testing.T) {
	l, r := newLoop(t, `
rules:
  - {name: CPU, signal: cpu, threshold: 400m, for: 10m, window: 1m}
  - {name: Credit, signal: cpu, credit: {earn: 400m, capacity: 3h}, window: 1m}
`), &recorder{}

	l.Run(5*time.Minute, 1.8, r.see)
	require.Equal(t, policy.StatePending, r.last.Rules[1].State)
	assert.Positive(t, r.last.Rules[1].TripsIn)

	l.Run(10*time.Minute, 1.8, r.see)
	require.True(t, r.last.Held)
	require.Equal(t, policy.StatePending, r.last.Rules[1].State)
	assert.Zero(t, r.last.Rules[1].TripsIn)
}
