// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// checkPast checks what holds of a baseline at any time.
func checkPast(t *rapid.T, p *past, highest float64) {
	r := p.rule()

	require.GreaterOrEqual(t, r.Usual, 0.0)
	require.LessOrEqual(t, r.Usual, highest+1e-9, "a median above every level")
	require.GreaterOrEqual(t, r.Threshold, r.Rule.Threshold)
	require.LessOrEqual(t, r.Learned, policy.BaselineHours*time.Hour)
	require.LessOrEqual(t, r.Learned, p.sample.At)
	require.False(t, p.last.Hold.Enforced())

	if p.last.Event == policy.EventTrip {
		require.False(t, r.Learning())
		require.Greater(t, r.Value, r.Threshold)
	}
}

// TestBaseline_AnySequence: with gaps, resets, ceilings and restarts of the service.
func TestBaseline_AnySequence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPast(t, unusualCPU)
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		highest := 0.0

		for range rapid.IntRange(1, 60).Draw(t, "phases") {
			cores := random.ExpFloat64() / 4
			highest = max(highest, cores)

			switch random.IntN(8) {
			case 0:
				p.restart()
			case 1:
				p.sample.At += time.Duration(random.IntN(300)) * time.Hour
			case 2:
				p.sample.CPU.Total = 0
			case 3:
				p.sample.Applied = time.Duration(random.IntN(2)) * p.sample.At
			}

			p.run(time.Duration(1+random.IntN(8*60))*time.Minute, cores)
			checkPast(t, p, highest)

			saved := p.engine.SavedState()
			require.NoError(t, saved.Check(policy.Bounds{Now: p.sample.At, MaxHold: 24 * time.Hour, MaxMillicores: 1000}))

			again := policy.New(p.config, policy.Options{Saved: saved}).SavedState()
			require.True(t, saved.Equal(again), "it is saved as it was loaded")
		}
	})
}

// TestBaseline_IsDeterministic: the same samples give the same decisions.
func TestBaseline_IsDeterministic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := newPast(t, unusualCPU), newPast(t, unusualCPU)
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))

		for range 40 {
			d, cores := time.Duration(1+random.IntN(300))*time.Minute, random.Float64()
			a.run(d, cores)
			b.run(d, cores)

			ra, rb := a.rule(), b.rule()
			ra.Rule, rb.Rule = nil, nil
			require.Equal(t, ra, rb)
			require.Equal(t, a.last.Hold, b.last.Hold)
		}
	})
}
