// SPDX-License-Identifier: MPL-2.0

package override_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/override"
)

// TestManager_LeavesOutSavedOverridesThatNobodySet has one such override beside a valid one.
func TestManager_LeavesOutSavedOverridesThatNobodySet(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*resources.OverrideSpec)
		want   string
	}{
		"valid":                  {change: func(*resources.OverrideSpec) {}},
		"clock was set":          {change: func(s *resources.OverrideSpec) { s.Since, s.Until = s.Since.Add(time.Hour), s.Until.Add(time.Hour) }},
		"pause":                  {change: func(s *resources.OverrideSpec) { s.Kind, s.CeilingMillicores = resources.OverridePause, 0 }},
		"unknown kind":           {change: func(s *resources.OverrideSpec) { s.Kind = "kill" }, want: `kind "kill"`},
		"pause with a ceiling":   {change: func(s *resources.OverrideSpec) { s.Kind = resources.OverridePause }, want: "must be 0 for a pause"},
		"release with a ceiling": {change: func(s *resources.OverrideSpec) { s.Kind = resources.OverrideRelease }, want: "must be 0 for a release"},
		"no ceiling":             {change: func(s *resources.OverrideSpec) { s.CeilingMillicores = 0 }, want: "ceiling of 0m"},
		"negative ceiling":       {change: func(s *resources.OverrideSpec) { s.CeilingMillicores = -1 }, want: "ceiling of -1m"},
		"impossible ceiling":     {change: func(s *resources.OverrideSpec) { s.CeilingMillicores = 1024_001 }, want: "must be 10m..1024000m"},
		"from the future": {change: func(s *resources.OverrideSpec) {
			s.SinceClock, s.UntilClock = s.SinceClock+2*time.Hour, s.UntilClock+2*time.Hour
		}, want: "since at 3h0m0s after the boot"},
		"from before the boot": {change: func(s *resources.OverrideSpec) {
			s.SinceClock = -time.Hour
			s.Until = s.Since.Add(s.UntilClock - s.SinceClock)
		}, want: "since at -1h0m0s"},
		"longer than a day": {change: func(s *resources.OverrideSpec) {
			s.UntilClock = s.SinceClock + 24*time.Hour + 1
			s.Until = s.Since.Add(24*time.Hour + 1)
		}, want: "must be 1s..24h0m0s"},
		"long reason": {change: func(s *resources.OverrideSpec) { s.Reason = strings.Repeat("x", 257) }, want: "invalid reason"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNode(t, config.ModeEnforce)

				time.Sleep(time.Hour)

				set, err := n.Throttle(t.Context(), override.Request{By: anna, For: 3 * time.Hour, Reason: "why"}, 200)
				require.NoError(t, err)

				spec := set[0].OverrideSpec
				test.change(&spec)
				require.NoError(t, n.file.Save(map[string]resources.OverrideSpec{one: spec, other: set[1].OverrideSpec}))

				time.Sleep(time.Minute)

				err = n.restart(t)
				inForce := map[string]string{other: resources.OverrideThrottle}

				if test.want == "" {
					require.NoError(t, err)

					inForce[one] = spec.Kind
				} else {
					require.ErrorIs(t, err, policy.ErrOutOfBounds)
					require.ErrorContains(t, err, one)
					require.ErrorContains(t, err, test.want)
				}

				assert.Equal(t, inForce, n.inForce(t))
			})
		})
	}
}
