// SPDX-License-Identifier: MPL-2.0

package config_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
)

func TestSettings_NameLines(t *testing.T) {
	document := []byte("mode: observe\ntarget:\n  podLabels:\n    app.kubernetes.io/name: mirror\nrules:\n- {name: A, signal: cpu, threshold: 200m}\nceiling: {cpu: 400m,\n  hold: }")

	cfg, err := config.Parse(document)
	require.NoError(t, err)

	settings := config.Settings(cfg, document)

	for _, want := range []config.Setting{
		{Field: "mode", Value: "observe", Line: 1}, {Field: "interval", Value: "1s"},
		{Field: "target.podLabels.app.kubernetes.io/name", Value: "mirror", Line: 4},
		{Field: "rules[0].threshold", Value: "200m", Line: 6}, {Field: "rules[0].window", Value: "1m"},
		{Field: "ceiling.cpu", Value: "400m", Line: 7}, {Field: "ceiling.hold", Value: "10m"},
	} {
		assert.Contains(t, settings, want)
	}

	for _, setting := range config.Settings(config.Default(), nil) {
		assert.Zero(t, setting.Line, setting.Field)
	}
}

// TestSettings_MatchDocument: every setting has the value that Marshal writes, and no value is missing.
func TestSettings_MatchDocument(t *testing.T) {
	document, err := config.Marshal(config.Default())
	require.NoError(t, err)

	written := strings.Split(strings.TrimSpace(string(document)), "\n")
	lines := map[int]bool{}

	for _, setting := range config.Settings(config.Default(), document) {
		require.NotZero(t, setting.Line, setting.Field)
		lines[setting.Line] = true

		_, value, _ := strings.Cut(written[setting.Line-1], ": ")
		assert.Equal(t, strings.Trim(value, `"`), setting.Value, setting.Field)
	}

	// Every line is a setting or the key of a mapping or a list.
	for i, line := range written {
		assert.True(t, lines[i+1] || strings.HasSuffix(line, ":"), "line %d: %s", i+1, line)
	}
}
