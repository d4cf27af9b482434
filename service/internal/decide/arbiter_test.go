// SPDX-License-Identifier: MPL-2.0

package decide_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/service/internal/decide"
)

func TestArbitrate_Precedence(t *testing.T) {
	hold := policy.Hold{Rule: "SpegelHighCPU", Since: 1, Until: 2, Millicores: 500}
	probing, observed := hold, hold
	probing.Probing, observed.Observe = true, true

	held := func(hold policy.Hold) policy.Decision { return policy.Decision{Held: true, Hold: hold} }
	throttle := func(millicores int64) decide.Override {
		return decide.Override{Kind: decide.Throttle, Millicores: millicores, Since: 3, Until: 4, Text: "throttled by anna"}
	}
	settings := decide.Settings{FloorMillicores: 100}

	byRule := decide.DesiredCeiling{Millicores: 500, FloorMillicores: 100, Rule: "SpegelHighCPU", Reason: "cpu 1803m", Since: 1, Until: 2}
	byPerson := decide.DesiredCeiling{FloorMillicores: 100, Rule: decide.RuleOverride, Reason: "throttled by anna", Since: 3, Until: 4}

	with := func(d decide.DesiredCeiling, change func(*decide.DesiredCeiling)) decide.DesiredCeiling {
		change(&d)

		return d
	}
	at := func(millicores int64) decide.DesiredCeiling {
		return with(byPerson, func(d *decide.DesiredCeiling) { d.Millicores = millicores })
	}
	none := func(rule, reason string) decide.DesiredCeiling {
		return decide.DesiredCeiling{FloorMillicores: 100, Rule: rule, Reason: reason}
	}

	for _, test := range []struct {
		name     string
		decision policy.Decision
		override decide.Override
		settings decide.Settings
		want     decide.DesiredCeiling
	}{
		{name: "nothing asks", settings: settings, want: none("", "quiet")},
		{name: "a hold", decision: held(hold), settings: settings, want: byRule},
		{
			name: "a probe", decision: held(probing), settings: settings,
			want: with(byRule, func(d *decide.DesiredCeiling) { d.Probing = true }),
		},
		{
			name: "a rule that only observes", decision: held(observed), settings: settings,
			want: with(byRule, func(d *decide.DesiredCeiling) { d.Observe = true }),
		},
		{
			name: "mode observe", decision: held(hold), settings: decide.Settings{FloorMillicores: 100, Observe: true},
			want: with(byRule, func(d *decide.DesiredCeiling) { d.Observe = true }),
		},
		{
			name: "conflict yield", decision: held(hold), settings: decide.Settings{FloorMillicores: 100, Yield: true},
			want: with(byRule, func(d *decide.DesiredCeiling) { d.Yield = true }),
		},
		{name: "a throttle", override: throttle(300), settings: settings, want: at(300)},
		{name: "a lower throttle", decision: held(hold), override: throttle(300), settings: settings, want: at(300)},
		{name: "an equal throttle", decision: held(hold), override: throttle(500), settings: settings, want: byRule},
		{name: "a higher throttle", decision: held(hold), override: throttle(700), settings: settings, want: byRule},
		{name: "a throttle beside a probe", decision: held(probing), override: throttle(700), settings: settings, want: at(700)},
		{name: "a throttle beside an observed hold", decision: held(observed), override: throttle(700), settings: settings, want: at(700)},
		{
			name: "a release", decision: held(hold), override: decide.Override{Kind: decide.Release, Text: "released by anna"},
			settings: settings, want: none(decide.RuleOverride, "released by anna"),
		},
		{
			name: "a pause", decision: held(hold), override: decide.Override{Kind: decide.Pause, Text: "paused by anna"},
			settings: settings, want: none(decide.RuleOverride, "paused by anna"),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := decide.Arbitrate(decide.Case{
				Decision: test.decision, Reason: "cpu 1803m", Released: "quiet", Override: test.override,
			}, test.settings)

			assert.Equal(t, test.want, got)
			assert.Equal(t, test.want.Millicores == 0, got.None())
			assert.True(t, got.Equal(test.want))
		})
	}
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
		"releases":   func(d *decide.DesiredCeiling) { d.ReleasesIn = time.Second },
		"blockers":   func(d *decide.DesiredCeiling) { d.Blockers = []string{"b"} },
	} {
		t.Run(name, func(t *testing.T) {
			var changed decide.DesiredCeiling

			change(&changed)
			assert.False(t, changed.Equal(decide.DesiredCeiling{}))
		})
	}
}

func TestOverride_Mark(t *testing.T) {
	for kind, want := range map[decide.OverrideKind]policy.Sample{
		"": {}, decide.Pause: {Suspended: true}, decide.Release: {Suspended: true}, decide.Throttle: {Manual: 0.3},
	} {
		t.Run(string(kind), func(t *testing.T) {
			var sample policy.Sample

			decide.Override{Kind: kind, Millicores: 300}.Mark(&sample)
			assert.Equal(t, want, sample)
		})
	}
}
