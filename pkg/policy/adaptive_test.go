// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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
