// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/test/plant"
)

// TestVerdict_OnlyOnCeilingsInForce: a hold whose ceiling was never written has no probe, no verdict and no advice.
func TestVerdict_OnlyOnCeilingsInForce(t *testing.T) {
	for name, owner := range map[string]float64{"no limit": 0, "the owner's limit throttles": 0.7} {
		t.Run(name, func(t *testing.T) {
			l, r := newLoop(t, cpuRule), &recorder{}
			l.Unwritten, l.Owner = true, owner

			l.Run(5*time.Hour, 1.8, r.see)
			require.True(t, r.last.Held)
			assert.Zero(t, r.last.Hold.FailedProbes)
			assert.Zero(t, r.last.ProbesIn)

			l.Run(time.Hour, 0.05, r.see)
			assert.Equal(t, []policy.Event{policy.EventTrip, policy.EventRelease}, r.events())
			assert.Empty(t, r.verdicts)
		})
	}
}

// TestVerdict_AfterAWrite: as soon as it can be written, there are probes and verdicts.
func TestVerdict_AfterAWrite(t *testing.T) {
	l, r := newLoop(t, cpuRule), &recorder{}
	l.Unwritten = true

	l.Run(5*time.Hour, 1.8, r.see)
	require.Equal(t, []policy.Event{policy.EventTrip}, r.events())

	l.Unwritten = false
	l.Run(time.Hour, 1.8, r.see)
	assert.Contains(t, r.events(), policy.EventProbe)
	require.NotEmpty(t, r.verdicts)
	assert.Equal(t, policy.OutcomeContained, r.verdicts[0].Outcome, r.verdicts[0].Reason)
}

// TestVerdict_DuringEndsWithTheCeiling: what was used after the ceiling was lost was not used under it.
func TestVerdict_DuringEndsWithTheCeiling(t *testing.T) {
	for name, regained := range map[string]bool{"lost": false, "in force again": true} {
		t.Run(name, func(t *testing.T) {
			l, r := newLoop(t, cpuRule), &recorder{}

			for !r.last.Held {
				l.Run(time.Second, 1.8, r.see)
			}

			l.Run(4*time.Minute, 1.8, r.see)
			l.Unwritten = true
			l.Run(3*time.Minute, 1.8, r.see)
			l.Unwritten = !regained
			l.Run(3*time.Minute, 1.8, r.see)
			require.Empty(t, r.verdicts)

			l.Run(time.Hour, 0.05, r.see)
			require.Len(t, r.verdicts, 1)

			during := r.verdicts[0].During

			if regained {
				assert.Greater(t, during.Over, 9*time.Minute)
			} else {
				assert.InDelta(t, 4*time.Minute, during.Over, float64(3*time.Second))
				assert.InDelta(t, 0.5, during.Cores(), 0.02)
			}
		})
	}
}

// continued is a loop after another one, with another document.
func continued(t *testing.T, l *plant.Loop, document string) *plant.Loop {
	t.Helper()

	cfg, err := config.Parse([]byte(document))
	require.NoError(t, err)

	return &plant.Loop{
		Engine: policy.New(cfg.Policy(), policy.Options{Seed: 1, Saved: l.Engine.SavedState()}), Step: time.Second, Plant: l.Plant,
	}
}

// TestEngine_DropsTheCeilingOfARuleThatOnlyObserves: the document can put a rule in mode observe while its ceiling is in force.
func TestEngine_DropsTheCeilingOfARuleThatOnlyObserves(t *testing.T) {
	const observing = "rules: [{name: CPU, signal: cpu, threshold: 400m, for: 10m, window: 1m, mode: observe}]\n"

	for name, test := range map[string]struct {
		document string
		observed bool
	}{
		"as before":             {cpuRule, false},
		"rule":                  {observing, true},
		"document":              {"mode: observe\n" + cpuRule, true},
		"removed rule":          {"rules: [{name: Other, signal: cpu, threshold: 400m, for: 10m, window: 1m}]\n", false},
		"removed, and document": {"mode: observe\nrules: [{name: Other, signal: cpu, threshold: 400m, for: 10m, window: 1m}]\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			l, r := newLoop(t, cpuRule), &recorder{}
			l.Run(11*time.Minute, 1.8, r.see)
			require.True(t, r.last.Held && r.last.Hold.Enforced())

			l, r = continued(t, l, test.document), &recorder{}
			l.Run(time.Second, 1.8, r.see)
			require.True(t, r.last.Held)
			assert.Equal(t, "CPU", r.last.Hold.Rule)
			assert.Equal(t, test.observed, !r.last.Hold.Enforced())

			if !test.observed {
				return
			}

			l.Run(5*time.Hour, 1.8, r.see)
			assert.Empty(t, r.events(), "the breach goes on")
			l.Run(5*time.Hour, 0.05, r.see)
			assert.Equal(t, []policy.Event{policy.EventRelease}, r.events())
			assert.Empty(t, r.verdicts)
		})
	}
}

// TestEngine_NamesNoOtherRuleAfterOneWasRemoved: its hold goes on with its name. Once a probe measures a breach of another rule, the
// ceiling is that one's.
func TestEngine_NamesNoOtherRuleAfterOneWasRemoved(t *testing.T) {
	l, r := newLoop(t, cpuRule), &recorder{}
	l.Run(11*time.Minute, 1.8, r.see)

	l, r = continued(t, l, `rules:
  - {name: First, signal: networkTx, threshold: 500M/s, for: 10m, window: 1m, mode: observe}
  - {name: Other, signal: cpu, threshold: 500m, for: 10m, window: 1m}
`), &recorder{}

	for r.last.Event != policy.EventRetrip {
		require.Less(t, l.Plant.Sample.At, 12*time.Hour)
		l.Run(time.Second, 1.8, r.see)

		if r.last.Event != policy.EventRetrip {
			require.Equal(t, "CPU", r.last.Hold.Rule)
		}
	}

	assert.Equal(t, "Other", r.last.Hold.Rule)
	assert.Empty(t, r.verdicts, "there is no threshold to judge the ceiling of a removed rule by")

	l.Run(6*time.Hour, 1.8, r.see)
	require.NotEmpty(t, r.verdicts)
	assert.Equal(t, "Other", r.verdicts[0].Rule)
}

// TestRule_ForetellsNoTripWithinADip: below the threshold a pending rule never fires if its value stays as it is.
func TestRule_ForetellsNoTripWithinADip(t *testing.T) {
	l, r := newLoop(t, "rules: [{name: CPU, signal: cpu, threshold: 400m, for: 10m, window: 5s, dip: 20%}]\n"), &recorder{}

	l.Run(5*time.Minute, 1.8, r.see)
	require.Equal(t, policy.StatePending, r.last.Rules[0].State)
	assert.Positive(t, r.last.Rules[0].TripsIn)

	l.Run(20*time.Second, 0.1, r.see)
	require.Equal(t, policy.StatePending, r.last.Rules[0].State)
	assert.Zero(t, r.last.Rules[0].TripsIn)
}

// TestEngine_EnforcesAHoldAgain: an invalid document at a start is replaced by the defaults in mode observe, and the hold goes on with the next
// good one.
func TestEngine_EnforcesAHoldAgain(t *testing.T) {
	l, r := newLoop(t, cpuRule), &recorder{}
	l.Run(11*time.Minute, 1.8, r.see)

	before := l.Engine.SavedState()

	l = continued(t, l, "mode: observe\n"+cpuRule)
	l.Run(time.Minute, 1.8, r.see)
	require.False(t, r.last.Hold.Enforced())
	assert.Equal(t, before.Hold, l.Engine.SavedState().Hold)

	l = continued(t, l, cpuRule)
	l.Run(time.Second, 1.8, r.see)
	assert.Equal(t, before.Hold, r.last.Hold)
}

// TestEngine_EndsAHoldWithoutACeiling: what is measured while nothing is in force needs no probe, and throttling by the owner's limit is no
// reason for a ceiling.
func TestEngine_EndsAHoldWithoutACeiling(t *testing.T) {
	for name, test := range map[string]struct{ owner, demand float64 }{
		"quiet":                           {0, 0.05},
		"between the thresholds":          {0, 0.35},
		"throttled by the owner's limit":  {0.3, 1.8},
		"throttled and quiet under it":    {0.2, 1.8},
		"between, and an owner's limit":   {0.7, 0.35},
		"quiet, and an owner's low limit": {0.3, 0.05},
	} {
		t.Run(name, func(t *testing.T) {
			l, r := newLoop(t, cpuRule), &recorder{}
			l.Unwritten = true

			l.Run(11*time.Minute, 1.8, r.see)
			require.True(t, r.last.Held)

			l.Owner = test.owner
			l.Run(6*time.Hour, test.demand, r.see)
			assert.Equal(t, []policy.Event{policy.EventTrip, policy.EventRelease}, r.events())
			assert.Empty(t, r.verdicts)
		})
	}
}
