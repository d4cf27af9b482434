// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

func baselineOf(signal policy.Signal, hour int64, levels ...float64) func(*policy.SavedState) {
	return func(s *policy.SavedState) {
		s.Baselines = []policy.SavedBaseline{{Signal: signal, Hour: hour, Levels: levels}}
	}
}

func TestSavedState_Check(t *testing.T) {
	bounds := policy.Bounds{Now: time.Hour, MaxHold: 24 * time.Hour, MinMillicores: 10, MaxMillicores: 1000}

	for name, test := range map[string]struct {
		change func(*policy.SavedState)
		want   string
	}{
		"valid":                        {change: func(*policy.SavedState) {}},
		"zero":                         {change: func(s *policy.SavedState) { *s = policy.SavedState{} }},
		"no hold":                      {change: func(s *policy.SavedState) { s.Hold = policy.Hold{} }},
		"at the boot":                  {change: func(s *policy.SavedState) { s.Hold.Since, s.Hold.Until, s.Released = 0, 0, 0 }},
		"longest hold":                 {change: func(s *policy.SavedState) { s.Hold.Until = 25 * time.Hour }},
		"now":                          {change: func(s *policy.SavedState) { s.Hold.Since, s.Released = time.Hour, time.Hour }},
		"released in the future":       {change: func(s *policy.SavedState) { s.Released = time.Hour + 1 }, want: "released at 1h0m0.000000001s after the boot"},
		"released before the boot":     {change: func(s *policy.SavedState) { s.Released = -1 }, want: "released at -1ns"},
		"hold from the future":         {change: func(s *policy.SavedState) { s.Hold.Since, s.Hold.Until = time.Hour+1, 2*time.Hour }, want: "since at"},
		"hold from before the boot":    {change: func(s *policy.SavedState) { s.Hold.Since = -1 }, want: "since at -1ns"},
		"hold that is too long":        {change: func(s *policy.SavedState) { s.Hold.Until = 25*time.Hour + 1 }, want: "end of the hold at"},
		"hold that ends early":         {change: func(s *policy.SavedState) { s.Hold.Until = s.Hold.Since - 1 }, want: "end of the hold at"},
		"hold prolonged after its end": {change: func(s *policy.SavedState) { s.Hold.Prolonged = s.Hold.Until + 1 }, want: "end of the hold at"},
		"length that overflows":        {change: func(s *policy.SavedState) { s.Hold.Since, s.Hold.Until = math.MinInt64, math.MaxInt64 }, want: "out of bounds"},
		"hold without a rule":          {change: func(s *policy.SavedState) { s.Hold.Rule = "" }, want: "rule of the hold"},
		"below the least ceiling":      {change: func(s *policy.SavedState) { s.Hold.Millicores = 9 }, want: "ceiling of 9m"},
		"negative ceiling":             {change: func(s *policy.SavedState) { s.Hold.Millicores = -500 }, want: "ceiling of -500m"},
		"above the highest ceiling":    {change: func(s *policy.SavedState) { s.Hold.Millicores = 1001 }, want: "must be 10m..1000m"},
		"negative level":               {change: func(s *policy.SavedState) { s.Level = -1 }, want: "level -1"},
		"baseline":                     {change: baselineOf(policy.SignalCPU, 0, 0.1)},
		"unknown signal":               {change: baselineOf("smell", 0, 0.1), want: `signal "smell" of a baseline`},
		"baseline without a level":     {change: baselineOf(policy.SignalCPU, 0), want: "0 levels of the baseline of cpu"},
		"baseline of too many":         {change: baselineOf(policy.SignalCPU, 0, make([]float64, 169)...), want: "169 levels of the baseline of cpu"},
		"baseline before the boot":     {change: baselineOf(policy.SignalCPU, -1, 0.1), want: "first hour -1 of the baseline of cpu"},
		"baseline from the future":     {change: baselineOf(policy.SignalCPU, 1, 0.1), want: "first hour 1 of the baseline of cpu is out of bounds: must be 0..0"},
		"hour in progress":             {change: baselineOf(policy.SignalCPU, 0, 0.1, 0.1), want: "first hour 0 of the baseline of cpu"},
		"hour that overflows":          {change: baselineOf(policy.SignalCPU, math.MaxInt64, 0.1), want: "first hour 9223372036854775807"},
		"negative usual level":         {change: baselineOf(policy.SignalCPU, 0, -0.1), want: "level -0.1 of the baseline of cpu"},
		"usual level of nothing":       {change: baselineOf(policy.SignalCPU, 0, math.NaN()), want: "level NaN"},
		"usual level without end":      {change: baselineOf(policy.SignalCPU, 0, math.Inf(1)), want: "must be -1 or 0..1e+15"},
		"baseline that is twice there": {
			change: func(s *policy.SavedState) {
				baselineOf(policy.SignalCPU, 0, 0.1)(s)
				s.Baselines = append(s.Baselines, s.Baselines[0])
			},
			want: `signal "cpu" of a baseline is out of bounds: must be unique`,
		},
		"level that is too high": {change: func(s *policy.SavedState) { s.Level = 1<<20 + 1 }, want: "level 1048577"},
	} {
		t.Run(name, func(t *testing.T) {
			saved := policy.SavedState{
				Hold: policy.Hold{Rule: "R", Since: time.Minute, Until: 2 * time.Hour, Millicores: 500}, Level: 2, Released: time.Second,
			}
			test.change(&saved)

			err := saved.Check(bounds)
			if test.want == "" {
				require.NoError(t, err)

				return
			}

			require.ErrorIs(t, err, policy.ErrOutOfBounds)
			assert.ErrorContains(t, err, test.want)
		})
	}
}
