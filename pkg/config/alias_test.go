// SPDX-License-Identifier: MPL-2.0

package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
)

// TestParse_Aliases: a document with aliases is the one with what they stand for in their place.
func TestParse_Aliases(t *testing.T) {
	for name, test := range map[string]struct{ aliased, plain string }{
		"quantity": {"ceiling: {cpu: &cpu 600m, floor: *cpu}", "ceiling: {cpu: 600m, floor: 600m}"},
		"duration": {"interval: &i 5s\nceiling: {hold: *i}\ntarget: {metrics: {interval: *i}}", "interval: 5s\nceiling: {hold: 5s}\ntarget: {metrics: {interval: 5s}}"},
		"threshold": {
			"rules:\n- {name: A, signal: cpu, threshold: &t 400m, for: &f 1h, dip: &d 10%}\n- {name: B, signal: cpu, threshold: *t, for: *f, dip: *d}",
			"rules:\n- {name: A, signal: cpu, threshold: 400m, for: 1h, dip: 10%}\n- {name: B, signal: cpu, threshold: 400m, for: 1h, dip: 10%}",
		},
		"mapping": {
			"{metrics: {listen: &l ':9000', tls: &tls {source: files, cert: /a, key: /b, ca: /c}}, api: {tls: *tls}}",
			"{metrics: {listen: ':9000', tls: {source: files, cert: /a, key: /b, ca: /c}}, api: {tls: {source: files, cert: /a, key: /b, ca: /c}}}",
		},
		"amount, port, bool, text": {
			"trace: {path: &p /a, limit: &a 1Mi}\nevidence: {limit: *a}\ntarget: {metrics: {path: *p, port: &n 90}}",
			"trace: {path: /a, limit: 1Mi}\nevidence: {limit: 1Mi}\ntarget: {metrics: {path: /a, port: 90}}",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := config.Parse([]byte(test.aliased))
			require.NoError(t, err)

			want, err := config.Parse([]byte(test.plain))
			require.NoError(t, err)
			assert.Equal(t, want, got)
			assert.Equal(t, config.Settings(want, []byte(test.plain)), config.Settings(got, []byte(test.aliased)))
		})
	}
}

func TestParse_NamesWrongValuesOfAliases(t *testing.T) {
	_, err := config.Parse([]byte("interval: &i 600x\nceiling:\n  hold: *i\n  cpu: *i\n  step: &s [1]\n  probe: *s"))
	require.Error(t, err)
	assert.Equal(t, []string{
		`line 1: invalid interval "600x": must be a duration of 100ms..1m`, `line 3: invalid ceiling.hold "600x": must be a duration of 1s..24h`,
		`line 4: invalid ceiling.cpu "600x": must be a number of cores such as 500m (100m..1024)`,
		`line 5: invalid ceiling.step "a list": must be a single value`, `line 6: invalid ceiling.probe "a list": must be a single value`,
	}, strings.Split(err.Error(), "; "))
}

// TestParse_BoundsAliases: a document of a kilobyte may stand for any number of values.
func TestParse_BoundsAliases(t *testing.T) {
	bomb := "a0: &a0 [1]\n"
	for i := range 40 {
		bomb += fmt.Sprintf("a%d: &a%d [*a%d, *a%d, *a%d]\n", i+1, i+1, i, i, i)
	}

	for name, document := range map[string]string{"bomb": bomb, "itself": "rules: &a [*a]", "its own mapping": "ceiling: &a {cpu: *a}"} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Parse([]byte(document))
			assert.ErrorContains(t, err, "with its aliases replaced it has more than 100000 values")
			assert.NotPanics(t, func() { config.Settings(config.Default(), []byte(document)) })
		})
	}
}
