// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/test/plant"
)

// probing returns a loop whose throttled workload is probed from now on.
func probing(t *testing.T, document string) (*plant.Loop, *recorder) {
	t.Helper()

	l, r := newLoop(t, document), &recorder{}

	for !r.last.Hold.Probing {
		require.Less(t, l.Plant.Sample.At, time.Hour)
		l.Run(time.Second, 1.8, r.see)
	}

	return l, r
}

// retripped requires that the probe was the last thing that happened before the ceiling was applied again, and returns its verdict.
func retripped(t *testing.T, r *recorder) policy.Verdict {
	t.Helper()
	require.Equal(t, []policy.Event{policy.EventTrip, policy.EventProbe, policy.EventRetrip}, r.events())
	require.Len(t, r.verdicts, 1)

	return r.verdicts[0]
}

// TestProbe_UnderTheCeilingMeasuresNothing: as long as it cannot be lifted, low usage is no release.
func TestProbe_UnderTheCeilingMeasuresNothing(t *testing.T) {
	l, r := newLoop(t, cpuRule), &recorder{}

	l.Run(11*time.Minute, 1.8, r.see)
	require.True(t, r.last.Held)

	l.Stuck = true
	l.Run(3*time.Hour, 1.8, r.see)

	assert.NotContains(t, r.events(), policy.EventRelease)
	assert.Contains(t, r.events(), policy.EventRetrip)
	assert.Zero(t, r.last.Hold.FailedProbes, "no probe has measured")

	for _, v := range r.verdicts {
		assert.Equal(t, policy.OutcomeUnknown, v.Outcome, v.Reason)
	}

	l.Stuck = false
	l.Run(time.Hour, 1.8, r.see)
	assert.Equal(t, policy.OutcomeContained, r.verdicts[len(r.verdicts)-1].Outcome)
	assert.Positive(t, r.last.Hold.FailedProbes)
}

// TestProbe_BeginsWhenTheCeilingIsLifted: what was used until then was used under it.
func TestProbe_BeginsWhenTheCeilingIsLifted(t *testing.T) {
	for name, test := range map[string]struct {
		late    time.Duration
		demand  float64
		outcome policy.Outcome
	}{
		"a breach":             {25 * time.Second, 0.5, policy.OutcomeContained},
		"no breach":            {25 * time.Second, 0.2, policy.OutcomeEnded},
		"for less than a half": {35 * time.Second, 0.2, policy.OutcomeUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			l, r := newLoop(t, cpuRule+"ceiling: {cpu: 150m}"), &recorder{}

			l.Run(11*time.Minute, 1.8, r.see)

			// Throttled, so that a probe follows.
			for !slices.Contains(r.events(), policy.EventProbe) {
				l.Stuck = r.last.Held
				l.Run(time.Second, 1.8, r.see)
			}

			l.Run(test.late, test.demand, r.see)
			l.Stuck = false
			l.Run(time.Minute, test.demand, r.see)

			require.NotEmpty(t, r.verdicts)
			assert.Equal(t, test.outcome, r.verdicts[0].Outcome, r.verdicts[0].Reason)

			if test.outcome != policy.OutcomeUnknown {
				assert.InDelta(t, test.demand, r.verdicts[0].After.Cores(), 0.01, "nothing of the time under the ceiling")
			}
		})
	}
}

const txRule = "rules: [{name: TX, mode: enforce, signal: networkTx, threshold: 500k/s, for: 10m, window: 1m}]\nceiling: {cpu: 150m}\n"

// TestProbe_KnowsWhatItHasMeasured: a probe of which less than half was measured has found nothing.
func TestProbe_KnowsWhatItHasMeasured(t *testing.T) {
	// One reading of the interface's counters is lost. They go on.
	lost := func(l *plant.Loop, r *recorder, demand float64) {
		was := l.Plant.Sample

		l.Plant.PerCore = plant.Rates{TX: math.NaN(), RX: math.NaN(), Allocation: plant.CulpritRates.Allocation}
		l.Run(time.Second, demand, r.see)

		l.Plant.PerCore = plant.Rates{}
		l.Plant.Sample.TX, l.Plant.Sample.RX = was.TX, was.RX
	}

	t.Run("the second half, a breach", func(t *testing.T) {
		l, r := probing(t, txRule)

		// 1.2 times the threshold is no breach before the probe is over.
		l.Run(20*time.Second, 0.77, r.see)
		lost(l, r, 0.77)
		l.Run(40*time.Second, 0.77, r.see)

		v := retripped(t, r)
		assert.Equal(t, policy.OutcomeContained, v.Outcome, "%s %+v", v.Reason, v)
	})

	t.Run("less than half", func(t *testing.T) {
		l, r := probing(t, txRule)

		l.Run(40*time.Second, 0.77, r.see)
		lost(l, r, 0.77)
		l.Run(20*time.Second, 0.77, r.see)

		assert.Equal(t, policy.OutcomeUnknown, retripped(t, r).Outcome)
	})

	t.Run("one of two signals", func(t *testing.T) {
		l, r := probing(t, "rules: [{name: Both, expression: cpu > 0.4 && networkTx > 200000.0, for: 10m, window: 1m}]\n")

		l.Run(40*time.Second, 0.5, r.see)
		lost(l, r, 0.5)
		l.Run(20*time.Second, 0.5, r.see)

		assert.Equal(t, policy.OutcomeUnknown, retripped(t, r).Outcome)
	})

	t.Run("suspended", func(t *testing.T) {
		l, r := probing(t, cpuRule)

		l.Run(5*time.Second, 1.8, r.see)

		l.Step = time.Hour
		l.Run(time.Hour, 0.001, r.see)

		assert.Equal(t, policy.OutcomeUnknown, retripped(t, r).Outcome)
	})
}

// TestProbe_MeasuresWithFewSamples: an interval may be as long as a probe, or longer.
func TestProbe_MeasuresWithFewSamples(t *testing.T) {
	for probe, interval := range map[string]time.Duration{"1m": time.Minute, "1s": time.Minute, "50s": 45 * time.Second} {
		t.Run(fmt.Sprint(probe, " each ", interval), func(t *testing.T) {
			l, r := newLoop(t, "interval: 1m\nrules: [{name: CPU, signal: cpu, threshold: 400m, for: 10m, window: 2m}]\nceiling: {cpu: 150m, probe: "+probe+"}"), &recorder{}
			l.Step = interval

			l.Run(15*time.Minute, 1.8, r.see)
			l.Run(time.Hour, 0.2, r.see)

			require.Equal(t, []policy.Event{policy.EventTrip, policy.EventProbe, policy.EventRelease}, r.events())
			assert.Equal(t, policy.OutcomeEnded, r.verdicts[0].Outcome)
		})
	}
}

// TestProbe_MeasuresScrapesAfterTheLift: application metrics are read less often than samples are taken, so the newest reading at the
// begin of a probe may be older. What was allocated since then was allocated under the ceiling.
func TestProbe_MeasuresScrapesAfterTheLift(t *testing.T) {
	const allocation = "signal: allocation, threshold: 1G/min"

	for _, rule := range []string{allocation, "expression: allocation > 1e9 / 60.0"} {
		for _, test := range []struct {
			// 0.2395 cores allocate as much as the threshold, and the ceiling allows 0.1.
			demand float64
			want   policy.Event
		}{{0.25, policy.EventRetrip}, {0.23, policy.EventRelease}} {
			// The probe begins at any time between two scrapes.
			for phase := range 12 {
				t.Run(fmt.Sprintf("%s %v %ds", rule, test.demand, phase), func(t *testing.T) {
					l, r := newLoop(t, fmt.Sprintf("target: {metrics: {interval: 12s}}\nrules: [{name: A, %s, for: 5m}]\nceiling: {cpu: 100m, hold: %ds}\n",
						rule, 600+phase)), &recorder{}
					l.Plant.Scrape = 12 * time.Second

					l.Run(10*time.Minute, 0.25, r.see)
					require.Equal(t, []policy.Event{policy.EventTrip}, r.events())

					for len(r.changes) < 3 {
						require.Less(t, l.Plant.Sample.At, time.Hour)
						l.Run(time.Second, test.demand, r.see)
					}

					require.Equal(t, []policy.Event{policy.EventTrip, policy.EventProbe, test.want}, r.events())

					if test.want == policy.EventRetrip {
						require.NotNil(t, r.last.Breach.Rule, "the probe measured the breach")
						assert.InDelta(t, test.demand*plant.CulpritRates.Allocation, r.last.Breach.Value, 1e3, "nothing of the time under the ceiling")
					}
				})
			}
		}
	}
}

// TestProbe_MeasuresScrapesOfAnyInterval: a probe that the configuration allows always has a result, if the target answers within half of
// the interval.
func TestProbe_MeasuresScrapesOfAnyInterval(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		interval := time.Duration(rapid.IntRange(1, 60).Draw(t, "interval")) * time.Second
		scrape := time.Duration(rapid.IntRange(1, 60).Draw(t, "scrape")) * time.Second
		probe := 5*max(interval, scrape) + time.Duration(rapid.IntRange(0, 120).Draw(t, "longer"))*time.Second
		demand := rapid.SampledFrom([]float64{0.25, 0.23}).Draw(t, "demand")

		cfg, err := config.Parse(fmt.Appendf(nil, `
interval: %s
target: {metrics: {interval: %s}}
rules: [{name: A, signal: allocation, threshold: 1G/min, for: 5m, window: 2m}]
ceiling: {cpu: 100m, hold: %ds, probe: %s}
`, interval, scrape, rapid.IntRange(600, 660).Draw(t, "hold"), probe))
		require.NoError(t, err)

		l, r := &plant.Loop{Engine: policy.New(cfg.Policy(), policy.Options{Seed: 1}), Step: interval}, &recorder{}
		l.Plant.Scrape = scrape
		l.Plant.Late = time.Duration(rapid.Int64Range(0, int64(scrape/2)).Draw(t, "late"))

		l.Run(10*time.Minute, 1.8, r.see)

		for len(r.changes) < 3 {
			require.Less(t, l.Plant.Sample.At, time.Hour)
			l.Run(interval, demand, r.see)
		}

		require.Equal(t, policy.EventProbe, r.changes[1].event)

		if result := r.changes[2]; demand > 0.24 {
			require.Equal(t, policy.EventRetrip, result.event)
			require.NotNil(t, result.decision.Breach.Rule)
		} else {
			require.Equal(t, policy.EventRelease, result.event)
		}
	})
}

// TestRelease_IsJudgedWithoutTheCeiling: as long as the write of a release fails, nothing was seen without it.
func TestRelease_IsJudgedWithoutTheCeiling(t *testing.T) {
	l, r := newLoop(t, cpuRule), &recorder{}

	l.Run(11*time.Minute, 1.8, r.see)

	l.Stuck = true
	l.Run(30*time.Minute, 0.05, r.see)
	require.Equal(t, []policy.Event{policy.EventTrip, policy.EventRelease}, r.events())
	assert.Empty(t, r.verdicts)

	l.Stuck = false
	l.Run(time.Minute, 0.05, r.see)
	assert.Empty(t, r.verdicts, "a minute is not enough")

	l.Run(5*time.Minute, 0.05, r.see)
	require.Len(t, r.verdicts, 1)
	assert.Equal(t, policy.OutcomeEnded, r.verdicts[0].Outcome)
	assert.Less(t, r.verdicts[0].After.Over, 6*time.Minute, "since it was lifted")
}
