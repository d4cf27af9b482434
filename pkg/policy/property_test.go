// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/test/plant"
)

func seconds(t *rapid.T, low, high int, label string) string {
	return fmt.Sprintf("%ds", rapid.IntRange(low, high).Draw(t, label))
}

// drawDocument is any configuration with rules of every kind, its times shrunk to seconds.
func drawDocument(t *rapid.T) string {
	return fmt.Sprintf(`
mode: %s
interval: 100ms
rules:
  - {name: CPU, signal: cpu, threshold: 400m, for: %s, window: %s, dip: %d%%}
  - {name: TX, signal: networkTx, threshold: 300k/s, for: %s, window: %s}
  - {name: Credit, signal: cpu, credit: {earn: 400m, capacity: %s}, window: %s}
  - {name: Throttled, signal: throttled, threshold: 60%%, for: %s, window: %s, mode: observe}
  - {name: Expression, expression: cpuPressure > 0.5 && cpu > 0.3, for: %s, window: %s}
ceiling: {cpu: %dm, floor: 100m, strategy: %s, step: %d%%, hold: %s, releaseAfter: %s, probe: %s, backoff: {factor: %d, max: %s}}
`,
		rapid.SampledFrom([]string{"enforce", "observe"}).Draw(t, "mode"),
		seconds(t, 0, 30, "for"), seconds(t, 1, 20, "window"), rapid.IntRange(1, 50).Draw(t, "dip"),
		seconds(t, 0, 30, "for"), seconds(t, 1, 20, "window"),
		seconds(t, 1, 60, "capacity"), seconds(t, 1, 20, "window"),
		seconds(t, 0, 30, "for"), seconds(t, 1, 20, "window"),
		seconds(t, 5, 30, "for"), seconds(t, 1, 20, "window"),
		rapid.IntRange(100, 900).Draw(t, "cpu"), rapid.SampledFrom([]string{"fixed", "adaptive"}).Draw(t, "strategy"),
		rapid.IntRange(10, 95).Draw(t, "step"), seconds(t, 1, 30, "hold"), seconds(t, 1, 20, "releaseAfter"),
		seconds(t, 1, 10, "probe"), rapid.IntRange(1, 4).Draw(t, "factor"), seconds(t, 30, 300, "max"))
}

// disturb makes some samples late, reset, unavailable or not a number.
func disturb(random *rand.Rand, p *plant.Plant, before policy.Sample, sample *policy.Sample) {
	switch random.IntN(30) {
	case 0: // duplicate or late
		*sample = before
		sample.At -= time.Duration(random.IntN(3)) * time.Second
	case 1: // the counters begin again
		p.Sample.CPU, p.Sample.TX, p.Sample.Pressure = policy.Counter{}, policy.Counter{}, policy.Counter{}
		p.Sample.Periods, p.Sample.Throttled, p.Sample.ThrottledTime = 0, 0, 0
		*sample = p.Sample
	case 2:
		sample.CPU = policy.Counter{Unavailable: "gone"}
	case 3:
		sample.TX = policy.Counter{Total: math.NaN()}
	case 4: // the clock jumps ahead
		p.Sample.At += time.Duration(random.IntN(20)) * time.Minute
		sample.At = p.Sample.At
	}
}

// TestEngine_AnySequence holds for whatever samples come, disturbed ones among them.
func TestEngine_AnySequence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg, err := config.Parse([]byte(drawDocument(t)))
		require.NoError(t, err)

		engine := policy.New(cfg.Policy(), policy.Options{Seed: rapid.Uint64().Draw(t, "seed")})
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		owner := cgroup.CPUMax{QuotaUsec: cgroup.Unlimited, PeriodUsec: 100_000}
		loop := plant.Plant{}

		if rapid.Bool().Draw(t, "limited") {
			owner.QuotaUsec = int64(rapid.IntRange(1_000, 200_000).Draw(t, "owner"))
		}

		loop.Sample.Owner = owner.Cores()

		overrides := rapid.Bool().Draw(t, "overrides")

		watch := newWatch(t, cfg)
		watch.overrides = overrides
		delivered := loop.Sample
		quota, demand := owner.Cores(), 0.0

		for range 600 {
			if random.IntN(20) == 0 {
				demand = random.Float64() * 2
			}

			if overrides && random.IntN(40) == 0 {
				loop.Sample.Suspended = !loop.Sample.Suspended
				loop.Sample.Override = float64(random.IntN(3)) / 4
			}

			sample := loop.Run(time.Duration(100+random.IntN(2000))*time.Millisecond, demand, quota)
			disturb(random, &loop, delivered, &sample)

			delivered = sample
			decision := engine.Step(sample)

			watch.check(sample, decision)

			quota, loop.Sample.Applied = owner.Cores(), 0

			if decision.Held && decision.Hold.Enforced() {
				loop.Sample.Applied = sample.At

				// The limit that is written, over the owner's.
				limited, written := owner.Limit(decision.Hold.Millicores, cfg.Ceiling.Floor.Millicores)
				quota = limited.Cores()

				if written {
					require.GreaterOrEqual(t, quota, float64(cfg.Ceiling.Floor.Millicores)/1000)
				}

				if owner.QuotaUsec != cgroup.Unlimited {
					require.LessOrEqual(t, quota, owner.Cores())
				}
			}
		}
	})
}

// watch checks every decision against the guarantees.
type watch struct {
	t   *rapid.T
	cfg config.Config

	// overrides suspend it at times, and so make it trip more often than the bound.
	overrides bool

	last    policy.Decision
	newest  time.Duration
	begun   time.Duration
	notOver map[string]time.Duration
	fired   map[string]bool
	trips   []time.Duration
}

func newWatch(t *rapid.T, cfg config.Config) *watch {
	return &watch{t: t, cfg: cfg, notOver: map[string]time.Duration{}, fired: map[string]bool{}}
}

func (w *watch) check(sample policy.Sample, d policy.Decision) {
	t := w.t

	if sample.At <= w.newest {
		require.Empty(t, d.Event, "a sample that is not newer changes nothing")

		return
	}

	w.newest = sample.At

	require.False(t, math.IsNaN(d.ThrottledRatio) || d.ThrottledRatio < 0 || d.ThrottledRatio > 1)

	for _, r := range d.Rules {
		require.False(t, math.IsNaN(r.Value) || r.Value < 0)

		if r.Rule.Signal == config.SignalCPU {
			require.LessOrEqual(t, r.Value, 2.0001, "an average above every rate it is made of")
		}

		// A rule that fired during a suspension still counts after an unavailable sample.
		if r.State == policy.StateOK || r.State == policy.StateUnavailable && !w.fired[r.Rule.Name] {
			w.notOver[r.Rule.Name] = sample.At
		}

		if r.State != policy.StateUnavailable {
			w.fired[r.Rule.Name] = r.State == policy.StateFiring || r.State == policy.StateReleasing
		}
	}

	if sample.Suspended {
		require.False(t, d.Held, "a ceiling is desired during a suspension")
		require.Contains(t, []policy.Event{"", policy.EventRelease}, d.Event)
	} else {
		w.checkEvent(sample, d)
	}

	if d.Held {
		require.GreaterOrEqual(t, d.Hold.Millicores, w.cfg.Ceiling.Floor.Millicores)
		require.LessOrEqual(t, d.Hold.Millicores, w.cfg.Ceiling.CPU.Millicores)
	}

	if w.cfg.Mode == config.ModeObserve {
		require.False(t, d.Hold.Enforced())
	}

	w.last = d
	w.last.Rules = nil
}

func (w *watch) checkEvent(sample policy.Sample, d policy.Decision) {
	t := w.t

	switch d.Event {
	case policy.EventTrip, policy.EventRetrip:
		require.True(t, d.Held)

		if d.Event == policy.EventTrip {
			for _, r := range d.Rules {
				if r.Rule.Name == d.Hold.Rule {
					require.True(t, r.Value > r.Rule.Threshold, "not above its threshold")
					require.GreaterOrEqual(t, sample.At-w.notOver[r.Rule.Name], r.Rule.For, "before `for`")
				}
			}
		} else {
			require.True(t, w.last.Hold.Probing)
		}

		// A probe that could not measure has not failed, and repeats the hold.
		if unknown := d.Event == policy.EventRetrip && d.Breach.Rule == nil; !d.Hold.Observe && !w.overrides && !unknown {
			w.countTrip(sample.At)
		}

		w.begun = sample.At
	case policy.EventProbe:
		require.GreaterOrEqual(t, sample.At-w.begun, w.cfg.Ceiling.Hold.Duration, "before the hold")
		require.True(t, w.last.Hold.Enforced())
	case policy.EventRelease:
		require.False(t, d.Held)
		require.GreaterOrEqual(t, sample.At-w.begun, w.cfg.Ceiling.Hold.Duration, "before the hold")
		require.True(t, w.last.Hold.Probing || sample.At >= w.last.Hold.Until)

		if !w.last.Hold.Probing {
			require.False(t, !w.last.Hold.Observe && d.Throttled, "released while throttled")
			require.Zero(t, d.ReleasesIn)
		}
	}
}

// countTrip: never more than the bound within any time as long as the longest hold.
func (w *watch) countTrip(at time.Duration) {
	w.trips = append(w.trips, at)

	inside := 0

	for _, trip := range w.trips {
		if at-trip < w.cfg.Ceiling.Backoff.Max.Duration {
			inside++
		}
	}

	require.LessOrEqual(w.t, inside, plant.MaxTrips(w.cfg.Policy().Ceiling))
}

// TestEngine_LowerThresholdTripsNoLater compares two engines over the same samples, for each kind of rule.
func TestEngine_LowerThresholdTripsNoLater(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]string{
			"signal: cpu, threshold: %dm, for: 20s, window: 5s",
			"signal: cpu, threshold: %dm, for: 20s, window: 5s, dip: 20%%",
			"signal: cpu, credit: {earn: %dm, capacity: 20s}, window: 5s",
			"expression: cpu * 1000.0 > %d.0, for: 10s, window: 3s, dip: 40%%",
		}).Draw(t, "kind")

		engine := func(millicores int) *policy.Engine {
			cfg, err := config.Parse([]byte("interval: 100ms\nrules: [{name: A, " + fmt.Sprintf(kind, millicores) + "}]"))
			require.NoError(t, err)

			return policy.New(cfg.Policy(), policy.Options{Seed: 1})
		}

		low := rapid.IntRange(100, 900).Draw(t, "low")
		a, b := engine(low), engine(rapid.IntRange(low, 1000).Draw(t, "high"))
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))

		var sample policy.Sample

		cores := 0.0

		for range 400 {
			step := time.Duration(100+random.IntN(2000)) * time.Millisecond

			if random.IntN(5) == 0 {
				cores = random.Float64() * 1.2
			}

			sample.At += step
			sample.CPU.Total += cores * step.Seconds()

			lowTripped := a.Step(sample).Held
			highTripped := b.Step(sample).Held

			if highTripped {
				require.True(t, lowTripped)
			}

			if lowTripped {
				return
			}
		}
	})
}

// TestEngine_ToleratesDips: up to the share of the time, and not more.
func TestEngine_ToleratesDips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		busy := rapid.IntRange(20, 60).Draw(t, "busy")
		idle := rapid.IntRange(1, 30).Draw(t, "idle")
		dip := rapid.IntRange(1, 50).Draw(t, "dip")

		cfg, err := config.Parse(fmt.Appendf(nil,
			"interval: 100ms\nrules: [{name: A, signal: cpu, threshold: 400m, for: 10m, window: 1s, dip: %d%%}]\n", dip))
		require.NoError(t, err)

		engine := policy.New(cfg.Policy(), policy.Options{})
		below := float64(idle) / float64(idle+busy)
		tripped := false

		var sample policy.Sample

		for i := range 2 * 3600 {
			cores := 1.0
			if i%(busy+idle) >= busy {
				cores = 0
			}

			sample.At += time.Second
			sample.CPU.Total += cores

			tripped = tripped || engine.Step(sample).Held
		}

		// Each dip costs the sample it begins with too, and the ring forgets in steps of 1/128.
		margin := 1.0/float64(idle+busy) + 0.02

		if below+margin < float64(dip)/100 {
			require.True(t, tripped, "%.3f below, %d%% tolerated", below, dip)
		}

		if below > float64(dip)/100+margin+0.05 {
			require.False(t, tripped, "%.3f below, %d%% tolerated", below, dip)
		}
	})
}
