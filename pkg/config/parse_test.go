// SPDX-License-Identifier: MPL-2.0

package config_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
)

func TestParse_EmptyDocumentIsDefaults(t *testing.T) {
	for _, document := range []string{"", "\n", "# nothing\n"} {
		cfg, err := config.Parse([]byte(document))
		require.NoError(t, err)
		assert.Equal(t, config.Default(), cfg)
	}
}

func TestMarshal_ReadsBackToSameValue(t *testing.T) {
	document, err := config.Marshal(config.Default())
	require.NoError(t, err)

	cfg, err := config.Parse(document)
	require.NoError(t, err, string(document))
	assert.Equal(t, config.Default(), cfg)
}

// TestDefault_IsShownInDocs: the document in rules.md has the defaults.
func TestDefault_IsShownInDocs(t *testing.T) {
	document, err := os.ReadFile("../../docs/rules.md")
	require.NoError(t, err)

	_, rest, ok := strings.Cut(string(document), "```yaml\n")
	require.True(t, ok)

	text, _, ok := strings.Cut(rest, "```")
	require.True(t, ok)

	cfg, err := config.Parse([]byte(text))
	require.NoError(t, err)
	assert.Equal(t, config.Default(), cfg)
}

func TestParse_ListsAndMapsReplaceDefaults(t *testing.T) {
	cfg, err := config.Parse([]byte(`
target: {podLabels: {app: mine}}
rules: [{name: Only, signal: networkTx, threshold: 30M/min, for: 1m}]
`))
	require.NoError(t, err)

	assert.Equal(t, map[string]string{"app": "mine"}, cfg.Target.PodLabels)
	assert.Equal(t, "registry", cfg.Target.Container)
	require.Len(t, cfg.Rules, 1)
	assert.InDelta(t, 500e3, cfg.Rules[0].Threshold.Value, 1e-6)
	assert.Equal(t, time.Minute, cfg.Rules[0].Window.Duration, "the window's default")
}

func FuzzParse(f *testing.F) {
	document, err := config.Marshal(config.Default())
	require.NoError(f, err)

	f.Add(document)
	f.Add([]byte("rules: [{name: A, signal: cpu, threshold: 1e400, for: 1h}]"))
	f.Add([]byte("interval: .inf"))
	f.Add([]byte("rules: [{name: A, expression: cpu > 0.4 && networkTx > 1e6, for: 1h, dip: 10%}]"))
	f.Add([]byte("rules: [{name: A, signal: networkTx, credit: {earn: 1M/s, capacity: 3G}, mode: observe}]"))
	f.Add([]byte("rules: [{name: A, signal: networkTx, threshold: 100k/s, baseline: {times: 3, learn: 48h}}, {name: B, signal: cpu, threshold: 1, baseline: {}}]"))
	f.Add([]byte("ceiling: {strategy: adaptive, step: 50%, probe: 0s, backoff: {factor: 1.5, max: 3h}}\ntrace: {path: /a, limit: 64Ki}"))

	f.Add([]byte("interval: &a 1s\nceiling: {hold: *a, cpu: &c 1e4294967296, floor: *c}"))
	f.Add([]byte("rules: &a [*a]"))

	f.Fuzz(func(t *testing.T, document []byte) {
		cfg, err := config.Parse(document)
		if err != nil {
			return
		}

		// A valid document is within bounds and survives a round trip.
		written, err := config.Marshal(cfg)
		require.NoError(t, err)

		again, err := config.Parse(written)
		require.NoError(t, err, string(written))

		// Compiled expressions do not compare, texts do.
		rewritten, err := config.Marshal(again)
		require.NoError(t, err)
		assert.Equal(t, string(written), string(rewritten))
		assert.LessOrEqual(t, cfg.Ceiling.Floor.Millicores, cfg.Ceiling.CPU.Millicores)
		assert.False(t, strings.Contains(cfg.API.Listen, "\n") && cfg.API.TLS.Source == config.TLSFiles)
	})
}
