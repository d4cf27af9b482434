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

// change is an event and when it was.
type change struct {
	at       time.Duration
	event    policy.Event
	decision policy.Decision
}

// recorder keeps what happened.
type recorder struct {
	changes  []change
	verdicts []policy.Verdict
	last     policy.Decision
}

func (r *recorder) see(sample policy.Sample, decision policy.Decision) {
	r.last = decision

	if decision.Event != "" {
		r.changes = append(r.changes, change{at: sample.At, event: decision.Event, decision: decision})
	}

	if decision.Verdict != nil {
		r.verdicts = append(r.verdicts, *decision.Verdict)
	}
}

func (r *recorder) events() []policy.Event {
	var events []policy.Event

	for _, c := range r.changes {
		events = append(events, c.event)
	}

	return events
}

func newLoop(t testing.TB, document string) *plant.Loop {
	t.Helper()

	cfg, err := config.Parse([]byte(document))
	require.NoError(t, err)

	return &plant.Loop{Engine: policy.New(cfg, policy.Options{Seed: 1}), Step: time.Second}
}

const cpuRule = "rules: [{name: CPU, signal: cpu, threshold: 400m, for: 10m, window: 1m}]\n"

func TestTheIncidentTripsAfterForAndNotBefore(t *testing.T) {
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

func TestReleaseNeedsHoldAndQuiet(t *testing.T) {
	l, r := newLoop(t, cpuRule), &recorder{}

	l.Run(11*time.Minute, 1.8, r.see)
	require.Equal(t, []policy.Event{policy.EventTrip}, r.events())

	l.Run(time.Hour, 0.05, r.see)
	require.Equal(t, []policy.Event{policy.EventTrip, policy.EventRelease}, r.events())
	assert.Equal(t, 10*time.Minute, r.changes[1].at-r.changes[0].at, "the hold is the longer of the two")
}

// TestDemandThatPressesOnIsProbed: usage is censored, so it is never taken for calm; after the hold
// the ceiling is lifted for as long as it takes to be certain, and each hold is longer.
func TestDemandThatPressesOnIsProbed(t *testing.T) {
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
		assert.False(t, v.Ended, "the spin goes on")
		assert.InDelta(t, 1.8, v.Before.Cores(), 0.01)
		assert.InDelta(t, 0.3, v.During.Cores(), 0.02)
	}
}

func TestAProbeThatFindsNothingReleases(t *testing.T) {
	l, r := newLoop(t, cpuRule+"ceiling: {cpu: 100m, floor: 100m}"), &recorder{}

	l.Run(12*time.Minute, 1.8, r.see)
	// It presses on the ceiling, and would be no breach without it.
	l.Run(time.Hour, 0.2, r.see)

	require.Equal(t, []policy.Event{policy.EventTrip, policy.EventProbe, policy.EventRelease}, r.events())
	assert.Equal(t, time.Minute, r.changes[2].at-r.changes[1].at)
	require.NotEmpty(t, r.verdicts)
	assert.True(t, r.verdicts[0].Ended)
	assert.InDelta(t, 0.2, r.verdicts[0].After.Cores(), 0.01)
}

// TestBetweenTheTwoThresholds: never down at the release threshold, nor above the threshold any more.
func TestBetweenTheTwoThresholds(t *testing.T) {
	l, r := newLoop(t, cpuRule), &recorder{}

	l.Run(11*time.Minute, 1.8, r.see)
	l.Run(time.Hour, 0.35, r.see)
	assert.Equal(t, []policy.Event{policy.EventTrip, policy.EventProbe, policy.EventRelease}, r.events())

	// Once down, what is between the two is no reason to begin anew.
	l, r = newLoop(t, cpuRule), &recorder{}

	l.Run(11*time.Minute, 1.8, r.see)
	l.Run(2*time.Minute, 0.1, r.see)
	l.Run(time.Hour, 0.35, r.see)
	assert.Equal(t, []policy.Event{policy.EventTrip, policy.EventRelease}, r.events())
}

func TestWithoutAProbeItStaysCapped(t *testing.T) {
	l, r := newLoop(t, cpuRule+"ceiling: {cpu: 300m, probe: 0s}"), &recorder{}

	l.Run(24*time.Hour, 1.8, r.see)
	assert.Equal(t, []policy.Event{policy.EventTrip}, r.events())
}

func TestBackoffDecaysWhenQuiet(t *testing.T) {
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

	// 2 quiet hours and a bit take one doubling back: 40m again, not 80m.
	l.Run(2*time.Hour, 0.01, r.see)
	l.Run(11*time.Minute, 1.8, r.see)
	assert.Equal(t, 40*time.Minute, holdOf())
}

func TestAHoldInForceIsTakenOver(t *testing.T) {
	until := 7 * time.Minute
	hold := policy.Hold{Rule: "SpegelHighCPU", Since: -13 * time.Minute, Until: until}
	l := &plant.Loop{Engine: policy.New(config.Default(), policy.Options{Memory: policy.Memory{Hold: hold}}), Step: time.Second}
	r := &recorder{}

	l.Run(10*time.Minute, 0.01, r.see)
	require.Equal(t, []policy.Event{policy.EventRelease}, r.events())
	assert.Equal(t, until, r.changes[0].at)
	assert.Equal(t, policy.OutcomeUnknown, r.verdicts[0].Outcome)

	// It had been the second: the next is the third.
	l.Run(12*time.Minute, 1.8, r.see)
	assert.Equal(t, 40*time.Minute, r.last.Hold.Until-r.last.Hold.Since)
}

// TestTheMemoryIsWhatTheNextEngineNeeds: the same hold and the same back-off, whenever the engine is replaced.
func TestTheMemoryIsWhatTheNextEngineNeeds(t *testing.T) {
	cfg, err := config.Parse([]byte(cpuRule))
	require.NoError(t, err)

	l, r := newLoop(t, cpuRule), &recorder{}
	restart := func() {
		l.Engine = policy.New(cfg, policy.Options{Memory: l.Engine.Memory().At(l.Plant.Sample.At)})
	}

	for n := range 3 {
		l.Run(12*time.Minute, 1.8, r.see)
		require.True(t, r.last.Held)

		want := r.last.Hold
		assert.Equal(t, cfg.Ceiling.Hold.Duration<<n, want.Until-want.Since, "the back-off is not forgotten")

		restart()
		l.Run(time.Second, 1.8, r.see)
		assert.Equal(t, want, r.last.Hold)

		l.Run(time.Hour, 0.01, r.see)
		require.False(t, r.last.Held)

		restart()
		l.Run(time.Minute, 0.01, r.see)
		require.False(t, r.last.Held, "a hold that ended is no hold")
	}
}

// TestAMemoryAtItsHoldsEnd forgets the hold, and so a probe, but not how often there was one.
func TestAMemoryAtItsHoldsEnd(t *testing.T) {
	memory := policy.Memory{Hold: policy.Hold{Rule: "r", Since: time.Minute, Until: time.Hour, Probing: true}, Level: 3}

	assert.Equal(t, memory, memory.At(time.Hour-1))
	assert.Equal(t, policy.Memory{Level: 3, Freed: time.Hour}, memory.At(time.Hour))
	assert.True(t, policy.Memory{}.IsZero())
	assert.False(t, memory.IsZero())
}

func TestUnavailableNeverTripsAndNeverReleases(t *testing.T) {
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

	// Unseen time does not count: `for` starts again.
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
	e := policy.New(config.Default(), policy.Options{})

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

// TestARestartedContainerStaysCapped: the decision belongs to the workload.
func TestARestartedContainerStaysCapped(t *testing.T) {
	l, r := newLoop(t, cpuRule), &recorder{}

	l.Run(11*time.Minute, 1.8, r.see)
	require.True(t, r.last.Held)

	l.Engine.Restart()

	l.Plant.Sample = policy.Sample{At: l.Plant.Sample.At}

	l.Run(10*time.Second, 1.8, func(_ policy.Sample, d policy.Decision) { assert.True(t, d.Held && d.Hold.Enforced()) })
}

func TestARuleInObserveNeverLeadsToACeiling(t *testing.T) {
	l, r := newLoop(t, `
rules:
  - {name: Seen, signal: cpu, threshold: 400m, for: 1m, window: 10s, mode: observe}
  - {name: Done, signal: cpu, threshold: 400m, for: 5m, window: 10s}
`), &recorder{}

	l.Run(3*time.Minute, 1.8, r.see)
	require.True(t, r.last.Held)
	assert.False(t, r.last.Hold.Enforced())

	l.Run(3*time.Minute, 1.8, r.see)
	assert.True(t, r.last.Hold.Enforced(), "the other rule's time came")
	assert.Equal(t, "Done", r.last.Hold.Rule)

	l, r = newLoop(t, "mode: observe\n"+cpuRule), &recorder{}
	l.Run(3*time.Hour, 1.8, func(s policy.Sample, d policy.Decision) {
		r.see(s, d)
		assert.False(t, d.Hold.Enforced())
	})
	assert.Equal(t, []policy.Event{policy.EventTrip}, r.events(), "would apply, said once")
}

func TestExpression(t *testing.T) {
	l, r := newLoop(t, `
rules: [{name: Both, expression: cpu > 0.4 && networkTx > 500000.0, for: 1m, window: 10s}]
`), &recorder{}

	l.Run(5*time.Minute, 0.5, r.see)
	assert.Empty(t, r.changes, "0.5 cores send 389 kB/s")

	l.Run(time.Minute+20*time.Second, 1.8, r.see)
	assert.Equal(t, []policy.Event{policy.EventTrip}, r.events())
}

func TestAdvertisingSlowerThanTheRecordsLastIsHarm(t *testing.T) {
	l, r := newLoop(t, cpuRule), &recorder{}

	l.Run(11*time.Minute, 1.8, r.see)

	l.Plant.Sample.AdvertiseCycle, l.Plant.Sample.AdvertiseTTL = 17*time.Minute, 15*time.Minute
	l.Run(time.Hour, 0.01, r.see)

	require.Len(t, r.verdicts, 2, "at the release, and again when there is an afterwards")
	assert.Equal(t, policy.OutcomeHarmed, r.verdicts[0].Outcome)
	assert.Zero(t, r.verdicts[0].After.Over)
	assert.Equal(t, 5*time.Minute, r.verdicts[1].After.Over)
	assert.True(t, r.verdicts[1].Ended)
}

func TestSeedDrawsTheStartOfTheCredit(t *testing.T) {
	start := func(seed uint64) float64 {
		e := policy.New(config.Default(), policy.Options{Seed: seed})

		return e.Step(policy.Sample{}).Rules[2].Credit
	}

	assert.InDelta(t, start(7), start(7), 0)
	assert.NotEqual(t, start(7), start(8))
	assert.GreaterOrEqual(t, start(7), 0.75)
}

// TestTimeThatNobodySawDoesNotCount: a clock that jumps ahead, or a guard that was stopped, is no evidence.
func TestTimeThatNobodySawDoesNotCount(t *testing.T) {
	for _, busy := range []float64{0, 1.8} {
		l, r := newLoop(t, cpuRule), &recorder{}

		l.Run(5*time.Minute, 1.8, r.see)

		l.Plant.Sample.At += time.Hour
		l.Plant.Sample.CPU.Total += busy * 3600

		// An average speaks for its own window, and for nothing before.
		l.Run(9*time.Minute-time.Second, 1.8, r.see)
		assert.Empty(t, r.changes, "%v cores in the gap", busy)

		l.Run(3*time.Minute, 1.8, r.see)
		assert.Equal(t, []policy.Event{policy.EventTrip}, r.events())
	}
}
