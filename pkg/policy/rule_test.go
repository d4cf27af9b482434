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

func TestEngine_UnavailableNeitherTripsNorReleases(t *testing.T) {
	l, r := newLoop(t, cpuRule), &recorder{}

	l.Run(9*time.Minute, 1.8, r.see)

	unavailable := func(d time.Duration) {
		for range d / time.Second {
			l.Plant.Sample.At += time.Second
			sample := l.Plant.Sample
			sample.CPU = policy.Counter{Unavailable: "gone"}
			r.see(sample, l.Engine.Step(sample))
		}
	}

	unavailable(time.Hour)
	assert.Empty(t, r.changes)
	assert.Equal(t, policy.StateUnavailable, r.last.Rules[0].State)
	assert.Equal(t, "gone", r.last.Rules[0].Unavailable)

	// Time that was not measured does not count: `for` starts again.
	l.Run(10*time.Minute, 1.8, r.see)
	assert.Empty(t, r.changes)
	l.Run(2*time.Minute, 1.8, r.see)
	require.Equal(t, []policy.Event{policy.EventTrip}, r.events())

	unavailable(5 * time.Hour)
	assert.True(t, r.last.Held)
	assert.Equal(t, []policy.Event{policy.EventTrip}, r.events())
}

// TestRuleStatus_Since: a state begins when it is first seen, also unavailable and what follows it.
func TestRuleStatus_Since(t *testing.T) {
	e := policy.New(config.Default().Policy(), policy.Options{})

	since := func(at time.Duration, cpu policy.Counter) time.Duration {
		return e.Step(policy.Sample{At: at, CPU: cpu}).Rules[0].Since
	}

	const first = 40 * time.Hour // the machine booted long before the guard started

	unavailable := policy.Counter{Unavailable: "gone"}

	assert.Equal(t, first, since(first, policy.Counter{}))
	assert.Equal(t, first, since(first+time.Minute, policy.Counter{}))
	assert.Equal(t, first+2*time.Minute, since(first+2*time.Minute, unavailable))
	assert.Equal(t, first+2*time.Minute, since(first+3*time.Minute, unavailable))
	assert.Equal(t, first+4*time.Minute, since(first+4*time.Minute, policy.Counter{}), "ok again")
}

func TestEngine_RuleInObserveWritesNothing(t *testing.T) {
	l, r := newLoop(t, `
rules:
  - {name: Seen, signal: cpu, threshold: 400m, for: 1m, window: 10s, mode: observe}
  - {name: Done, signal: cpu, threshold: 400m, for: 5m, window: 10s}
`), &recorder{}

	l.Run(3*time.Minute, 1.8, r.see)
	require.True(t, r.last.Held)
	assert.False(t, r.last.Hold.Enforced())

	l.Run(3*time.Minute, 1.8, r.see)
	assert.True(t, r.last.Hold.Enforced(), "the enforced rule takes the hold")
	assert.Equal(t, "Done", r.last.Hold.Rule)

	l, r = newLoop(t, "mode: observe\n"+cpuRule), &recorder{}
	l.Run(3*time.Hour, 1.8, func(s policy.Sample, d policy.Decision) {
		r.see(s, d)
		assert.False(t, d.Hold.Enforced())
	})
	assert.Equal(t, []policy.Event{policy.EventTrip}, r.events(), "one trip")
}

func TestEngine_TripsOnExpression(t *testing.T) {
	l, r := newLoop(t, `
rules: [{name: Both, expression: cpu > 0.4 && networkTx > 500000.0, for: 1m, window: 10s}]
`), &recorder{}

	l.Run(5*time.Minute, 0.5, r.see)
	assert.Empty(t, r.changes, "0.5 cores send 389 kB/s")

	l.Run(time.Minute+20*time.Second, 1.8, r.see)
	assert.Equal(t, []policy.Event{policy.EventTrip}, r.events())
}

func TestEngine_SeedDrawsStartOfCredit(t *testing.T) {
	start := func(seed uint64) float64 {
		e := policy.New(config.Default().Policy(), policy.Options{Seed: seed})

		return e.Step(policy.Sample{}).Rules[2].Credit
	}

	assert.InDelta(t, start(7), start(7), 0)
	assert.NotEqual(t, start(7), start(8))
	assert.GreaterOrEqual(t, start(7), 0.75)
}

// TestEngine_IgnoresGapBetweenSamples: a clock that jumps ahead, or a guard that was stopped, does not count.
func TestEngine_IgnoresGapBetweenSamples(t *testing.T) {
	for name, busy := range map[string]float64{"idle in the gap": 0, "busy in the gap": 1.8} {
		t.Run(name, func(t *testing.T) {
			l, r := newLoop(t, cpuRule), &recorder{}

			l.Run(5*time.Minute, 1.8, r.see)

			l.Plant.Sample.At += time.Hour
			l.Plant.Sample.CPU.Total += busy * 3600

			// An average covers its own window, and nothing before.
			l.Run(9*time.Minute-time.Second, 1.8, r.see)
			assert.Empty(t, r.changes)

			l.Run(3*time.Minute, 1.8, r.see)
			assert.Equal(t, []policy.Event{policy.EventTrip}, r.events())
		})
	}
}
