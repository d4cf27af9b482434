// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

func TestAdaptive_StepsDownWithTraffic(t *testing.T) {
	const document = `
rules: [{name: TX, signal: networkTx, threshold: 150k/s, for: 5m, window: 1m}]
ceiling: {strategy: adaptive, step: 75%, hold: 30m}
`

	l, r := newLoop(t, document), &recorder{}

	// 150 kB/s are 193m: 500, 375, 281, 210, 157.
	l.Run(30*time.Minute, 1.8, r.see)
	require.Equal(t, []policy.Event{policy.EventTrip, policy.EventStepDown, policy.EventStepDown, policy.EventStepDown, policy.EventStepDown}, r.events())
	assert.Equal(t, int64(157), r.last.Hold.Millicores)
	assert.LessOrEqual(t, r.last.Rules[0].Value, 150e3)

	for i := 1; i < len(r.changes); i++ {
		assert.GreaterOrEqual(t, r.changes[i].at-r.changes[i-1].at, time.Minute, "a window between two steps")
	}

	// After the hold: probed, the breach goes on, and the ceiling is where it was, not at the top.
	l.Run(30*time.Minute, 1.8, r.see)
	assert.Equal(t, policy.EventRetrip, r.changes[len(r.changes)-1].event)
	assert.Equal(t, int64(157), r.last.Hold.Millicores)
	assert.Equal(t, policy.OutcomeContained, r.verdicts[0].Outcome)
}

func TestAdaptive_StopsAtFloorAndOwnersLimit(t *testing.T) {
	l, r := newLoop(t, `
rules: [{name: TX, signal: networkTx, threshold: 1k/s, for: 1m, window: 10s}]
ceiling: {strategy: adaptive, floor: 150m, hold: 5m}
`), &recorder{}
	l.Owner = 0.3

	l.Run(5*time.Minute, 1.8, r.see)
	require.NotEmpty(t, r.changes)
	assert.Equal(t, int64(300), r.changes[0].decision.Hold.Millicores, "the owner's limit is the top")
	assert.Equal(t, int64(150), r.last.Hold.Millicores)

	// At the floor, and still throttled: the ceiling harms.
	l.Run(time.Hour, 1.8, r.see)
	require.NotEmpty(t, r.verdicts)
	assert.Equal(t, policy.OutcomeHarmed, r.verdicts[0].Outcome)
	assert.Contains(t, r.verdicts[0].Reason, "floor")
}

func TestAdaptive_RelaxesInSteps(t *testing.T) {
	l, r := newLoop(t, `
rules: [{name: TX, signal: networkTx, threshold: 150k/s, for: 1m, window: 10s}]
ceiling: {strategy: adaptive, hold: 10m, probe: 0s}
`), &recorder{}

	l.Run(5*time.Minute, 1.8, r.see)
	require.Equal(t, int64(157), r.last.Hold.Millicores)

	// A core sends less from here on: 100 kB/s, so every ceiling up to the top is allowed, and it is throttled.
	var tx float64

	tx = l.Plant.Sample.TX.Total

	for range 20 * 60 {
		sample := l.Plant.Run(time.Second, 1.8, float64(r.last.Hold.Millicores)/1000)
		tx += 100e3 * float64(r.last.Hold.Millicores) / 1000
		sample.TX.Total = tx
		r.see(sample, l.Engine.Step(sample))
	}

	assert.Equal(t, policy.EventRelax, r.changes[len(r.changes)-1].event)
	assert.Equal(t, int64(500), r.last.Hold.Millicores)
}

// TestSavedState_SteppedDown_Relaxed: a relax and a step down that were not saved.
func TestSavedState_SteppedDown_Relaxed(t *testing.T) {
	saved := policy.SavedState{Hold: policy.Hold{Rule: "R", Until: time.Hour, Millicores: 281}}
	journal := policy.Hold{Rule: "R", Until: 2 * time.Hour, Millicores: 375}

	after := saved.SteppedDown(journal, config.Default().Policy().Ceiling)
	assert.Equal(t, int64(375), after.Hold.Millicores)
	assert.Equal(t, 2*time.Hour, after.Hold.Until)
}

// TestSavedState_SteppedDown: a step down that was not saved is known from the hold that a journal has, also one that prolongs a hold
// whose end is past, and the level of the back-off counts it.
func TestSavedState_SteppedDown(t *testing.T) {
	const document = `
rules: [{name: TX, signal: networkTx, threshold: 150k/s, for: 1m, window: 10s}]
ceiling: {strategy: adaptive, hold: 10m, probe: 0s, backoff: {factor: 2, max: 40m}}
`

	cfg, err := config.Parse([]byte(document))
	require.NoError(t, err)

	l := newLoop(t, document)
	prolonged, tx := 0, 0.0

	for second := range 4 * 3600 {
		before := l.Engine.SavedState()

		// A core sends much for 5 minutes, and then little: the ceiling follows.
		rate := 100e3
		if second%3600 < 5*60 {
			rate = 800e3
		}

		limit := 1.8
		if before.Hold.Rule != "" {
			limit = float64(before.Hold.Millicores) / 1000
		}

		l.Plant.Sample.Applied = before.Hold.Since
		sample := l.Plant.Run(time.Second, 1.8, limit)
		tx += rate * limit
		sample.TX.Total = tx

		if l.Engine.Step(sample).Event != policy.EventStepDown {
			continue
		}

		after := l.Engine.SavedState()
		assert.Equal(t, after, before.SteppedDown(after.Hold, cfg.Policy().Ceiling))
		assert.Equal(t, after, after.SteppedDown(after.Hold, cfg.Policy().Ceiling), "it is counted once")
		assert.Equal(t, after, after.SteppedDown(before.Hold, cfg.Policy().Ceiling), "it was saved and not written")

		if after.Hold.Until > before.Hold.Until {
			prolonged++
		}
	}

	assert.Equal(t, 3, prolonged)
}
