// SPDX-License-Identifier: MPL-2.0

package decide_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/service/internal/decide"
)

// wall is a clock that was at noon when the machine started.
func wall(at time.Duration) time.Time { return time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC).Add(at) }

func TestArbitrate_Precedence(t *testing.T) {
	hold := policy.Hold{Rule: "SpegelHighCPU", Since: time.Second, Until: time.Minute, Millicores: 500}
	probing, observed := hold, hold
	probing.Probing, observed.Observe = true, true

	held := func(hold policy.Hold) policy.Decision {
		return policy.Decision{Held: true, Hold: hold, ReleasesIn: time.Minute}
	}
	throttle := func(millicores int64) decide.Override {
		return decide.Override{Kind: decide.Throttle, Millicores: millicores, Since: 3 * time.Second, Until: time.Hour, Text: "throttled by anna"}
	}
	release := decide.Override{Kind: decide.Release, Until: time.Hour, Text: "released by anna"}
	pause := decide.Override{Kind: decide.Pause, Until: time.Hour, Text: "paused by otto"}

	const holds = "the hold of SpegelHighCPU lasts until 2026-11-25T12:01:00Z"

	byRule := decide.DesiredCeiling{
		Millicores: 500, Rule: "SpegelHighCPU", Reason: "cpu 1803m", Since: time.Second, Until: time.Minute,
		ReleasesIn: time.Minute, Blockers: []string{holds},
	}
	byPerson := func(millicores int64, blockers ...string) decide.DesiredCeiling {
		return decide.DesiredCeiling{
			Millicores: millicores, Rule: decide.RuleOverride, Reason: "throttled by anna", Since: 3 * time.Second, Until: time.Hour,
			ReleasesIn: time.Hour - 10*time.Second, Blockers: append([]string{"throttled by anna"}, blockers...),
		}
	}
	with := func(d decide.DesiredCeiling, change func(*decide.DesiredCeiling)) decide.DesiredCeiling {
		change(&d)

		return d
	}
	probes := with(byRule, func(d *decide.DesiredCeiling) { d.Probing = true })
	observes := with(byRule, func(d *decide.DesiredCeiling) { d.Observe = true })
	outlasted := with(byRule, func(d *decide.DesiredCeiling) { d.ReleasesIn = time.Hour - 10*time.Second })
	suspended := func(text string) decide.DesiredCeiling {
		return decide.DesiredCeiling{Rule: decide.RuleOverride, Reason: text}
	}

	for _, test := range []struct {
		name         string
		decision     policy.Decision
		released     string
		yielded      time.Duration
		node, target decide.Override
		settings     decide.Settings
		want         decide.DesiredCeiling
	}{
		{name: "nothing asks", want: decide.DesiredCeiling{Reason: "no rule asks for a ceiling"}},
		{name: "nothing asks any more", released: "quiet", want: decide.DesiredCeiling{Reason: "quiet"}},
		{name: "a hold", decision: held(hold), released: "quiet", want: byRule},
		{name: "a probe", decision: held(probing), want: probes},
		{name: "a rule in mode observe", decision: held(observed), want: observes},
		{
			name: "mode observe", decision: held(hold), settings: decide.Settings{Observe: true},
			want: observes,
		},
		{
			name: "mode observe and a throttle", target: throttle(300), settings: decide.Settings{Observe: true},
			want: with(byPerson(300), func(d *decide.DesiredCeiling) { d.Observe = true }),
		},
		{
			name: "the floor", decision: held(hold), settings: decide.Settings{FloorMillicores: 100},
			want: with(byRule, func(d *decide.DesiredCeiling) { d.FloorMillicores = 100 }),
		},
		{
			name: "conflict yield", decision: held(hold), settings: decide.Settings{Yield: true},
			want: with(byRule, func(d *decide.DesiredCeiling) { d.Yield = true }),
		},
		{name: "a throttle", target: throttle(300), want: byPerson(300)},
		{name: "a lower throttle", decision: held(hold), target: throttle(300), want: byPerson(300, holds)},
		{name: "an equal throttle", decision: held(hold), target: throttle(500), want: outlasted},
		{name: "a higher throttle", decision: held(hold), target: throttle(700), want: outlasted},
		{name: "a throttle beside a probe", decision: held(probing), target: throttle(700), want: byPerson(700, holds)},
		{name: "a throttle beside an observed hold", decision: held(observed), target: throttle(700), want: byPerson(700, holds)},
		{
			name: "a throttle beside a hold that yielded", decision: held(hold), yielded: hold.Since, target: throttle(700), settings: decide.Settings{Yield: true},
			want: with(byPerson(700, holds), func(d *decide.DesiredCeiling) { d.Yield, d.YieldedSince = true, hold.Since }),
		},
		{
			name: "a throttle beside a hold after one that yielded", decision: held(hold), yielded: 1, target: throttle(700), settings: decide.Settings{Yield: true},
			want: with(outlasted, func(d *decide.DesiredCeiling) { d.Yield, d.YieldedSince = true, 1 }),
		},
		{name: "a release", decision: held(hold), target: release, want: suspended("released by anna")},
		{name: "a release without a hold", released: "quiet", target: release, want: suspended("released by anna")},
		{name: "a pause", decision: held(hold), node: pause, want: suspended("paused by otto")},
		{name: "a pause before a release", decision: held(hold), node: pause, target: release, want: suspended("paused by otto")},
		{name: "a pause before a throttle", node: pause, target: throttle(300), want: suspended("paused by otto")},
		{
			name: "mode observe and a pause", node: pause, settings: decide.Settings{Observe: true},
			want: with(suspended("paused by otto"), func(d *decide.DesiredCeiling) { d.Observe = true }),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.settings.Wall = wall

			got := decide.Arbitrate(&decide.Case{
				Now: 10 * time.Second, Decision: &test.decision, Reason: "cpu 1803m", Released: test.released, YieldedSince: test.yielded,
				Overrides: decide.Overrides{Node: test.node, Target: test.target},
			}, &test.settings)

			assert.Equal(t, test.want, got)
			assert.Equal(t, test.want.Millicores == 0, got.None())
			assert.True(t, got.Equal(&test.want))
		})
	}
}

func TestArbitrate_PassesTheYieldedHoldOn(t *testing.T) {
	desired := decide.Arbitrate(&decide.Case{Decision: &policy.Decision{}, YieldedSince: time.Second}, &decide.Settings{})
	assert.Equal(t, time.Second, desired.YieldedSince)
}

func TestDesiredCeiling_EqualComparesEveryField(t *testing.T) {
	for name, change := range map[string]func(*decide.DesiredCeiling){
		"millicores": func(d *decide.DesiredCeiling) { d.Millicores++ },
		"floor":      func(d *decide.DesiredCeiling) { d.FloorMillicores++ },
		"observe":    func(d *decide.DesiredCeiling) { d.Observe = true },
		"probing":    func(d *decide.DesiredCeiling) { d.Probing = true },
		"yield":      func(d *decide.DesiredCeiling) { d.Yield = true },
		"yielded":    func(d *decide.DesiredCeiling) { d.YieldedSince++ },
		"since":      func(d *decide.DesiredCeiling) { d.Since++ },
		"until":      func(d *decide.DesiredCeiling) { d.Until++ },
		"rule":       func(d *decide.DesiredCeiling) { d.Rule = "R" },
		"reason":     func(d *decide.DesiredCeiling) { d.Reason = "r" },
		"probes":     func(d *decide.DesiredCeiling) { d.ProbesIn = time.Second },
		"quiet":      func(d *decide.DesiredCeiling) { d.Quiet = true },
		"failed":     func(d *decide.DesiredCeiling) { d.FailedProbes++ },
		"releases":   func(d *decide.DesiredCeiling) { d.ReleasesIn = time.Second },
		"blockers":   func(d *decide.DesiredCeiling) { d.Blockers = []string{"b"} },
	} {
		t.Run(name, func(t *testing.T) {
			var changed decide.DesiredCeiling

			change(&changed)
			assert.False(t, changed.Equal(&decide.DesiredCeiling{}))
		})
	}
}

func TestOverrides_Mark(t *testing.T) {
	throttle := decide.Override{Kind: decide.Throttle, Millicores: 300}

	for name, test := range map[string]struct {
		overrides decide.Overrides
		want      policy.Sample
	}{
		"none":                    {decide.Overrides{}, policy.Sample{}},
		"pause":                   {decide.Overrides{Node: decide.Override{Kind: decide.Pause}}, policy.Sample{Suspended: true}},
		"release":                 {decide.Overrides{Target: decide.Override{Kind: decide.Release}}, policy.Sample{Suspended: true}},
		"throttle":                {decide.Overrides{Target: throttle}, policy.Sample{Override: 0.3}},
		"pause before a throttle": {decide.Overrides{Node: decide.Override{Kind: decide.Pause}, Target: throttle}, policy.Sample{Suspended: true}},
	} {
		t.Run(name, func(t *testing.T) {
			var sample policy.Sample

			test.overrides.Mark(&sample)
			assert.Equal(t, test.want, sample)
		})
	}
}

func TestArbitrate_WithoutClock(t *testing.T) {
	hold := policy.Hold{Rule: "R", Since: time.Second, Until: time.Minute, Millicores: 500}
	desired := decide.Arbitrate(&decide.Case{Now: 10 * time.Second, Decision: &policy.Decision{Held: true, Hold: hold}}, &decide.Settings{
		Wall: func(time.Duration) time.Time { return time.Time{} },
	})
	assert.Equal(t, []string{"the hold of R lasts"}, desired.Blockers)
}
