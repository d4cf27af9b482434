package policy_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// workload turns rates into the cumulative counters a kernel would show.
type workload struct {
	sample policy.Sample
}

func (w *workload) run(e *policy.Engine, d, step time.Duration, cores, tx, throttled float64) []policy.Decision {
	var decisions []policy.Decision

	for end := w.sample.At + d; w.sample.At < end; {
		w.sample.At += step
		w.sample.CPU.Total += cores * step.Seconds()
		w.sample.TX.Total += tx * step.Seconds()

		periods := uint64(step / (100 * time.Millisecond))
		w.sample.Periods += periods
		w.sample.Throttled += uint64(throttled * float64(periods))

		decisions = append(decisions, e.Step(w.sample))
	}

	return decisions
}

func tripped(decisions []policy.Decision) int {
	for i, d := range decisions {
		if d.Tripped {
			return i
		}
	}

	return -1
}

func released(decisions []policy.Decision) int {
	for i, d := range decisions {
		if d.Released {
			return i
		}
	}

	return -1
}

func TestTheIncidentTripsAfterForAndNotBefore(t *testing.T) {
	e := policy.New(config.Default(), nil)
	w := &workload{}

	assert.Equal(t, -1, tripped(w.run(e, 5*time.Minute, time.Second, 0.25, 800, 0)))

	// The window's average passes 0.4 cores a few seconds into the breach: (0.4-0.25)/(1.8-0.25) of a minute.
	decisions := w.run(e, 15*time.Minute, time.Second, 1.8, 1.4e6, 0)
	at := time.Duration(tripped(decisions)+1) * time.Second

	assert.Greater(t, at, 10*time.Minute)
	assert.Less(t, at, 10*time.Minute+10*time.Second)
	assert.Equal(t, "SpegelHighCPU", decisions[len(decisions)-1].Hold.Rule)
}

func TestAPullStormDoesNotTrip(t *testing.T) {
	e := policy.New(config.Default(), nil)
	w := &workload{}

	for range 5 {
		assert.Equal(t, -1, tripped(w.run(e, 3*time.Minute, time.Second, 1.8, 50e6, 0)))
		assert.Equal(t, -1, tripped(w.run(e, 10*time.Minute, time.Second, 0.05, 100, 0)))
	}
}

func TestReleaseNeedsHoldAndQuietAndNoPressure(t *testing.T) {
	cfg := config.Default()
	e := policy.New(cfg, nil)
	w := &workload{}

	require.NotEqual(t, -1, tripped(w.run(e, 12*time.Minute, time.Second, 1.8, 1.4e6, 0)))

	// Capped and still demanding: usage sits at a ceiling below the threshold, every period throttled.
	assert.Equal(t, -1, released(w.run(e, 2*time.Hour, time.Second, 0.3, 1e5, 1)))

	// The window has to empty before pressure is gone, then releaseAfter runs.
	decisions := w.run(e, 20*time.Minute, time.Second, 0.05, 100, 0)
	at := time.Duration(released(decisions)+1) * time.Second

	assert.GreaterOrEqual(t, at, cfg.Ceiling.ReleaseAfter.Duration)
	assert.LessOrEqual(t, at, cfg.Ceiling.ReleaseAfter.Duration+time.Minute+time.Second)
}

func TestHoldIsTheLeastTime(t *testing.T) {
	cfg := config.Default()
	e := policy.New(cfg, nil)
	w := &workload{}

	decisions := w.run(e, 12*time.Minute, time.Second, 1.8, 0, 0)
	since := decisions[tripped(decisions)].Hold.Since

	decisions = w.run(e, time.Hour, time.Second, 0, 0, 0)
	at := released(decisions)
	require.NotEqual(t, -1, at)
	assert.GreaterOrEqual(t, 12*time.Minute+time.Duration(at+1)*time.Second-since, cfg.Ceiling.Hold.Duration)
}

func TestAHoldInForceIsTakenOver(t *testing.T) {
	until := 7 * time.Minute
	e := policy.New(config.Default(), &policy.Hold{Rule: "SpegelHighCPU", Since: -time.Minute, Until: until})
	w := &workload{}

	decisions := w.run(e, 10*time.Minute, time.Second, 0.01, 0, 0)
	assert.Equal(t, int(until/time.Second)-1, released(decisions))
	assert.Equal(t, -1, tripped(decisions))
}

func TestBlindNeverTripsAndNeverReleases(t *testing.T) {
	e := policy.New(config.Default(), nil)
	w := &workload{}

	w.run(e, 9*time.Minute, time.Second, 1.8, 1.4e6, 0)

	w.sample.CPU.Blind, w.sample.TX.Blind = "gone", "gone"
	decisions := w.run(e, time.Hour, time.Second, 0, 0, 0)
	assert.Equal(t, -1, tripped(decisions))
	assert.Equal(t, policy.StateBlind, decisions[0].Rules[0].State)
	assert.Equal(t, "gone", decisions[0].Rules[0].Blind)

	// Unseen time does not count: `for` starts again.
	w.sample.CPU.Blind, w.sample.TX.Blind = "", ""
	assert.Equal(t, -1, tripped(w.run(e, 9*time.Minute, time.Second, 1.8, 1.4e6, 0)))
	assert.NotEqual(t, -1, tripped(w.run(e, 3*time.Minute, time.Second, 1.8, 1.4e6, 0)))

	w.sample.CPU.Blind, w.sample.TX.Blind = "gone", "gone"
	assert.Equal(t, -1, released(w.run(e, 5*time.Hour, time.Second, 0, 0, 0)))
}

func TestARestartedContainerStaysCapped(t *testing.T) {
	e := policy.New(config.Default(), nil)
	w := &workload{}

	require.NotEqual(t, -1, tripped(w.run(e, 12*time.Minute, time.Second, 1.8, 1.4e6, 0)))

	e.Restart()

	w.sample = policy.Sample{At: w.sample.At}
	decisions := w.run(e, 10*time.Second, time.Second, 0.5, 1.4e6, 1)
	assert.NotNil(t, decisions[0].Hold)
	assert.NotNil(t, decisions[len(decisions)-1].Hold)
}

// TestAnySequence: whatever the samples, no rule trips before its time, nothing is released before
// the hold, and duplicate, late or reset samples neither trip nor divide by zero.
func TestAnySequence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := config.Default()
		cfg.Rules[0].For = config.Duration{Duration: time.Duration(rapid.IntRange(0, 30).Draw(t, "for")) * time.Second}
		cfg.Rules[0].Window = config.Duration{Duration: time.Duration(rapid.IntRange(1, 30).Draw(t, "window")) * time.Second}
		cfg.Ceiling.Hold = config.Duration{Duration: time.Duration(rapid.IntRange(1, 60).Draw(t, "hold")) * time.Second}
		cfg.Ceiling.ReleaseAfter = config.Duration{Duration: time.Duration(rapid.IntRange(1, 20).Draw(t, "releaseAfter")) * time.Second}

		e := policy.New(cfg, nil)
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))

		var (
			sample    policy.Sample
			newest    time.Duration
			trippedAt time.Duration
			// notAbove is the last time the first rule was seen in the state ok.
			notAbove time.Duration
		)

		for range 400 {
			switch random.IntN(12) {
			case 0: // late or duplicate
				late := sample
				late.At -= time.Duration(random.IntN(3)) * time.Second
				d := e.Step(late)
				require.False(t, d.Tripped || d.Released)

				continue
			case 1: // counters reset
				sample.CPU.Total, sample.TX.Total, sample.Periods, sample.Throttled = 0, 0, 0, 0
			}

			step := time.Duration(1+random.IntN(2000)) * time.Millisecond
			sample.At += step
			newest = sample.At
			busy := random.IntN(4) > 0

			if busy {
				sample.CPU.Total += 1.5 * step.Seconds()
			}

			d := e.Step(sample)

			require.False(t, d.Tripped && d.Released)
			require.GreaterOrEqual(t, d.Pressure, 0.0)
			require.LessOrEqual(t, d.Pressure, 1.0)

			for _, r := range d.Rules {
				require.GreaterOrEqual(t, r.Value, 0.0)
				require.False(t, r.Value > 1.5001, "an average above every rate it is made of: %v", r.Value)
			}

			if d.Tripped {
				trippedAt = newest
				require.GreaterOrEqual(t, newest-notAbove, cfg.Rules[0].For.Duration)
			}

			if d.Rules[0].State == policy.StateOK {
				notAbove = newest
			}

			if d.Released {
				require.GreaterOrEqual(t, newest-trippedAt, cfg.Ceiling.Hold.Duration)
			}
		}
	})
}

// TestALowerThresholdNeverTripsLater compares two engines over the same samples.
func TestALowerThresholdNeverTripsLater(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		low, high := config.Default(), config.Default()
		low.Rules, high.Rules = low.Rules[:1], high.Rules[:1]
		low.Rules[0].Threshold = config.MustThreshold("300m")
		low.Rules[0].For = config.Duration{Duration: 20 * time.Second}
		high.Rules[0].For = low.Rules[0].For

		a, b := policy.New(low, nil), policy.New(high, nil)
		lowTripped := false

		var sample policy.Sample

		for range 300 {
			sample.At += time.Second
			sample.CPU.Total += rapid.Float64Range(0, 1).Draw(t, "cores")

			lowTripped = a.Step(sample).Hold != nil || lowTripped

			if b.Step(sample).Tripped {
				require.True(t, lowTripped)

				return
			}
		}
	})
}

func BenchmarkStep(b *testing.B) {
	e := policy.New(config.Default(), nil)
	sample := policy.Sample{}

	b.ReportAllocs()

	for b.Loop() {
		sample.At += time.Second
		sample.CPU.Total += 0.25
		sample.Periods += 10

		e.Step(sample)
	}
}
