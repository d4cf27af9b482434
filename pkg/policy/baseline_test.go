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

// unusualCPU fires above three times the usual level, and not below 100m.
const unusualCPU = `interval: 30s
rules:
  - {name: Unusual, signal: cpu, threshold: 100m, baseline: {times: 3}, for: 10m, window: 1m}
`

// past lets hours pass, one sample every 30 s.
type past struct {
	config policy.Config
	engine *policy.Engine
	sample policy.Sample
	last   policy.Decision
	// fired counts the trips.
	fired int
}

func newPast(tb require.TestingT, document string) *past {
	cfg, err := config.Parse([]byte(document))
	require.NoError(tb, err)

	return &past{config: cfg.Policy(), engine: policy.New(cfg.Policy(), policy.Options{})}
}

func (p *past) run(d time.Duration, cores float64) {
	const step = 30 * time.Second

	for end := p.sample.At + d; p.sample.At < end; {
		p.sample.At += step
		p.sample.CPU.Total += cores * step.Seconds()
		p.step()
	}
}

func (p *past) step() {
	p.last = p.engine.Step(p.sample)
	if p.last.Event == policy.EventTrip {
		p.fired++
	}
}

// restart is a restart of the service: another engine continues from the saved state.
func (p *past) restart() {
	p.engine = policy.New(p.config, policy.Options{Saved: p.engine.SavedState()})
}

func (p *past) rule() policy.RuleStatus { return p.last.Rules[0] }

func TestBaseline_ComparesWithUsualLevel(t *testing.T) {
	const day = 24 * time.Hour

	for _, test := range []struct {
		name     string
		document string
		run      func(*past)
		usual    float64
		learned  time.Duration
		fired    int
	}{
		{name: "three times the usual level", fired: 1, usual: 0.1, learned: 25 * time.Hour, run: func(p *past) {
			p.run(25*time.Hour, 0.1)
			p.run(20*time.Minute, 0.35)
		}},
		{name: "less than three times", usual: 0.1, learned: 25 * time.Hour, run: func(p *past) {
			p.run(25*time.Hour, 0.1)
			p.run(20*time.Minute, 0.29)
		}},
		{name: "for too short a time", usual: 0.1, learned: 25 * time.Hour, run: func(p *past) {
			p.run(25*time.Hour, 0.1)
			p.run(9*time.Minute, 0.35)
		}},
		{name: "eight times an idle level, below the threshold", usual: 0.01, learned: 25 * time.Hour, run: func(p *past) {
			p.run(25*time.Hour, 0.01)
			p.run(20*time.Minute, 0.08)
		}},
		{name: "nothing is known", run: func(p *past) { p.run(20*time.Minute, 2) }},
		{name: "an hour of learning is missing", usual: 0.1, learned: 23 * time.Hour, run: func(p *past) {
			p.run(23*time.Hour, 0.1)
			p.run(50*time.Minute, 2)
		}},
		{name: "a third of each minute and hour is unusual", usual: 0.1, learned: 2 * day, run: func(p *past) {
			for range 48 {
				p.run(9*time.Minute, 2)
				p.run(51*time.Minute, 0.1)
			}

			p.run(time.Minute, 0.1)
		}},
		{name: "hours under a ceiling do not count", usual: 0.1, learned: 30 * time.Hour, run: func(p *past) {
			p.run(30*time.Hour, 0.1)
			p.sample.Applied = p.sample.At
			p.run(20*time.Hour, 0.25)
			p.sample.Applied = 0
		}},
		{name: "an hour with a ceiling for a moment does not count", usual: 0.1, learned: 2 * time.Hour, run: func(p *past) {
			p.run(150*time.Minute, 0.1)
			p.sample.Applied = p.sample.At
			p.run(30*time.Second, 0.1)
			p.sample.Applied = 0
			p.run(31*time.Minute, 0.1)
		}},
		{name: "hours with one sample in ten minutes do not count", usual: 0.1, learned: 2 * time.Hour, run: func(p *past) {
			p.run(121*time.Minute, 0.1)

			for range 30 {
				p.sample.At += 10 * time.Minute
				p.run(30*time.Second, 0.5)
			}
		}},
		{name: "hours under an override do not count", usual: 0.1, learned: 30 * time.Hour, run: func(p *past) {
			p.run(30*time.Hour, 0.1)
			p.sample.Override = 0.25
			p.run(20*time.Hour, 0.25)
		}},
		{name: "hours with a rule that fires do not count", usual: 0.1, learned: 30 * time.Hour,
			document: unusualCPU + "  - {name: Other, mode: observe, signal: cpu, threshold: 200m, for: 1m}\n",
			run: func(p *past) {
				p.run(30*time.Hour, 0.1)
				p.run(20*time.Hour, 0.25)
			}, fired: 1},
		{name: "unavailable hours do not count", usual: 0.1, learned: 30 * time.Hour, run: func(p *past) {
			p.run(30*time.Hour, 0.1)
			p.sample.CPU = policy.Counter{Unavailable: "gone"}
			p.run(20*time.Hour, 0)
			p.sample.CPU = policy.Counter{}
			p.run(2*time.Minute, 0.1)
		}},
		{name: "half an hour is enough of one", usual: 0.1, learned: 2 * time.Hour, run: func(p *past) {
			p.sample.At = 29 * time.Minute
			p.run(91*time.Minute, 0.1)
			p.run(time.Minute, 0.1)
		}},
		{name: "less than half an hour is not", usual: 0.1, learned: time.Hour, run: func(p *past) {
			p.sample.At = 31 * time.Minute
			p.run(89*time.Minute, 0.1)
			p.run(time.Minute, 0.1)
		}},
		{name: "another level after half of the days", usual: 0.15, learned: 7 * day, run: func(p *past) {
			p.run(8*day, 0.1)
			p.run(84*time.Hour+time.Minute, 0.2)
		}},
		{name: "eight days without a sample", run: func(p *past) {
			p.run(3*day, 0.1)
			p.sample.At += 8 * day
			p.run(20*time.Minute, 2)
		}},
		{name: "the level has risen for good", usual: 1, learned: 7 * day, fired: 1, run: func(p *past) {
			p.run(3*day, 0.1)
			// It fires until too little of the past is left, and learns from there on.
			p.run(20*day, 1)
		}},
		{name: "times before the boot", usual: 0.1, learned: 30 * time.Hour, fired: 1, run: func(p *past) {
			p.sample.At = -200 * time.Hour
			p.run(30*time.Hour, 0.1)
			p.run(20*time.Minute, 0.35)
		}},
		{name: "a new container", usual: 0.1, learned: 30 * time.Hour, fired: 1, run: func(p *past) {
			p.run(30*time.Hour, 0.1)
			p.engine.Restart()
			p.sample.CPU = policy.Counter{}
			p.run(20*time.Minute, 0.35)
		}},
		{name: "a restart of the service", usual: 0.1, learned: 30 * time.Hour, fired: 1, run: func(p *past) {
			p.run(30*time.Hour, 0.1)
			p.restart()
			p.run(20*time.Minute, 0.35)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			document := test.document
			if document == "" {
				document = unusualCPU
			}

			p := newPast(t, document)
			test.run(p)

			assert.InDelta(t, test.usual, p.rule().Usual, 1e-9)
			assert.Equal(t, test.learned.String(), p.rule().Learned.String())
			assert.Equal(t, test.fired, p.fired)
			assert.InDelta(t, max(0.1, 3*test.usual), p.rule().Threshold, 1e-9)
			assert.InDelta(t, 0.7*p.rule().Threshold, p.rule().Release, 1e-9)
			assert.Equal(t, test.learned < day, p.last.Rules[0].Learning())
		})
	}
}

// TestBaseline_NeverLeadsToACeiling, in mode enforce and whatever the rule says.
func TestBaseline_NeverLeadsToACeiling(t *testing.T) {
	p := newPast(t, "mode: enforce\n"+unusualCPU)
	require.Equal(t, policy.ModeObserve, p.config.Rules[0].Mode)

	p.config.Rules[0].Mode = policy.ModeEnforce
	p.engine = policy.New(p.config, policy.Options{})

	p.run(25*time.Hour, 0.1)
	p.run(time.Hour, 1)

	assert.Equal(t, policy.StateFiring, p.rule().State)
	assert.True(t, p.last.Held)
	assert.True(t, p.last.Hold.Observe)
	assert.False(t, p.last.Hold.Enforced())
}

// TestBaseline_EndsWhenQuiet at 70 % of the threshold in force.
func TestBaseline_EndsWhenQuiet(t *testing.T) {
	p := newPast(t, unusualCPU)
	p.run(25*time.Hour, 0.1)
	p.run(time.Hour, 1)
	p.run(time.Hour, 0.22)
	assert.Equal(t, policy.StateFiring, p.rule().State, "below the threshold of 0.3, above 0.21")

	p.run(time.Hour, 0.2)
	assert.Equal(t, policy.StateOK, p.rule().State)
	assert.False(t, p.last.Held)
}

// TestBaseline_RulesOnASignalShareIt: it is learned and saved once.
func TestBaseline_RulesOnASignalShareIt(t *testing.T) {
	p := newPast(t, unusualCPU+"  - {name: Rare, signal: cpu, threshold: 100m, baseline: {times: 10, learn: 1h}}\n")
	p.run(5*time.Hour, 0.1)

	assert.Len(t, p.engine.SavedState().Baselines, 1)
	assert.InDelta(t, 1, p.last.Rules[1].Threshold, 1e-9)
	assert.True(t, p.last.Rules[0].Learning())
	assert.False(t, p.last.Rules[1].Learning())
}

// TestBaseline_UntrueTotals: the target's own metrics can claim any number.
func TestBaseline_UntrueTotals(t *testing.T) {
	p := newPast(t, "interval: 30s\nrules: [{name: A, signal: allocation, threshold: 1k/s, baseline: {times: 3}, window: 1m}]\n")

	for range 3 * 120 {
		p.sample.At += 30 * time.Second
		p.sample.Allocation.Total += 1e305
		p.step()
	}

	assert.Zero(t, p.rule().Usual)
	assert.Zero(t, p.rule().Learned)
	assert.True(t, p.engine.SavedState().IsZero())
}

// TestBaseline_AllocatesNothing, at the end of an hour neither.
func TestBaseline_AllocatesNothing(t *testing.T) {
	p := newPast(t, unusualCPU)
	p.run(30*time.Hour, 0.1)

	require.Zero(t, testing.AllocsPerRun(10, func() { p.run(2*time.Hour, 0.1) }))
}
