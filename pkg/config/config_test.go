// SPDX-License-Identifier: MPL-2.0

package config_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
)

func TestEmptyDocumentIsTheDefaults(t *testing.T) {
	for _, document := range []string{"", "\n", "# nothing\n"} {
		cfg, err := config.Parse([]byte(document))
		require.NoError(t, err)
		assert.Equal(t, config.Default(), cfg)
	}
}

func TestDefaultsRoundTrip(t *testing.T) {
	document, err := config.Marshal(config.Default())
	require.NoError(t, err)

	cfg, err := config.Parse(document)
	require.NoError(t, err, string(document))
	assert.Equal(t, config.Default(), cfg)
}

// TestDefault_IsShownInDocs: the document in docs/rules.md has the defaults.
func TestDefault_IsShownInDocs(t *testing.T) {
	readme, err := os.ReadFile("../../docs/rules.md")
	require.NoError(t, err)

	_, rest, ok := strings.Cut(string(readme), "```yaml\n")
	require.True(t, ok)

	document, _, ok := strings.Cut(rest, "```")
	require.True(t, ok)

	cfg, err := config.Parse([]byte(document))
	require.NoError(t, err)
	assert.Equal(t, config.Default(), cfg)
}

func TestListsAndMapsReplaceTheirDefault(t *testing.T) {
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

func TestQuantities(t *testing.T) {
	for text, want := range map[string]float64{
		"400m": 0.4, "1.8": 1.8, "500k/s": 500e3, "1G/min": 1e9 / 60, "1Mi/s": 1 << 20, "36M/h": 1e4,
	} {
		assert.InDelta(t, want, config.MustThreshold(text).Value, want/1e9, text)
	}
}

func TestWrongFieldsAreNamedWithValueAndRange(t *testing.T) {
	for _, test := range []struct{ document, want string }{
		{"mode: kill", `line 1: mode: "kill" is not allowed, allowed is observe or enforce`},
		{"interval: 5ms", `line 1: interval: "5ms" is not allowed, allowed is a duration of 100ms..1m0s`},
		{"interval: fast", `line 1: interval: "fast" is not allowed, allowed is a duration of 100ms..1m0s`},
		{"apiVersion: v2", `line 1: apiVersion: "v2" is not allowed, allowed is v1alpha1`},
		{"ceiling: {cpu: 5m}", `line 1: ceiling.cpu: "5m" is not allowed, allowed is a quantity of 100m..1024 cores`},
		{"ceiling:\n  floor: 1m", `line 2: ceiling.floor: "1m" is not allowed, allowed is a quantity of 10m..1024 cores`},
		{"ceiling: {hold: 0s}", `line 1: ceiling.hold: "0s" is not allowed, allowed is a duration of 1s..24h0m0s`},
		{"target: {podLabels: {}}", `line 1: target.podLabels: "" is not allowed, allowed is at least one label`},
		{"rules: []", `line 1: rules: "0" is not allowed, allowed is 1..16 rules`},
		{
			"rules:\n- {name: A, signal: cpu, threshold: 400m}\n- {name: A, signal: cpu, threshold: 500k/s}",
			`line 3: rules[1].name: "A" is not allowed, allowed is a name no other rule has; ` +
				`line 3: rules[1].threshold: "500k/s" is not allowed, allowed is a quantity of 10m..1024 cores`,
		},
		{"rules: [{name: A, signal: networkTx, threshold: 500k}]", `allowed is a rate of 1k/s..100G/s bytes`},
		{"rules: [{name: A, signal: networkTx, threshold: much}]", `rules[0].threshold: "much" is not allowed`},
		{"rules: [{name: A, signal: smell, threshold: 1}]", `rules[0].signal: "smell" is not allowed, allowed is cpu or networkTx or networkRx or allocation or throttled or cpuPressure`},
		{"api: {tls: {source: files, ca: x, cert: /c, key: /k}}", `api.tls.ca: "x" is not allowed`},
		{"api: {listen: nowhere, tls: {source: files, ca: /a, cert: /c, key: /k}}", `api.listen: "nowhere" is not allowed`},
		{"api: {tls: {source: vault}}", `api.tls.source: "vault" is not allowed, allowed is talos or files or none`},
		{"api: {listen: '10.0.0.1'}", `line 1: api.listen: "10.0.0.1" is not allowed, allowed is host:port`},
		{"api: {tls: {source: talos, ca: /ca}}", `api.tls.ca: "/ca" is not allowed, allowed is nothing beside api.tls.source: talos`},
		{"api: {tls: {source: files, ca: /a, cert: /c, key: /k}, forward: true}", `api.forward: "true" is not allowed, allowed is false, unless api.tls.source is talos`},
		{"rules: [{name: A, signal: cpuPressure, threshold: 0.5}]", `rules[0].threshold: "0.5" is not allowed, allowed is a share of 1%..100%`},
		{"rules: [{name: A, signal: cpu, threshold: 400m, release: 500m}]", `rules[0].release: "500m" is not allowed, allowed is at most the threshold`},
		{"rules: [{name: A, signal: cpu, threshold: 400m, dip: 80%}]", `rules[0].dip: "0.8" is not allowed, allowed is a share of 0..0.5`},
		{"rules: [{name: A, signal: cpu, threshold: 400m, dip: nan}]", `rules[0].dip: "NaN" is not allowed`},
		{"rules: [{name: A, signal: cpu, threshold: 400m, mode: kill}]", `rules[0].mode: "kill" is not allowed, allowed is observe or enforce`},
		{
			"rules: [{name: A, signal: cpu, credit: {earn: 400m, capacity: 10M}, threshold: 1}]",
			`rules[0].threshold: "1" is not allowed, allowed is nothing beside a credit; line 1: rules[0].credit.capacity: "10M" is not allowed, allowed is an amount of time`,
		},
		{"rules: [{name: A, signal: networkTx, credit: {earn: 1M/s, capacity: 10m}}]", `rules[0].credit.capacity: "10m" is not allowed, allowed is an amount of 1k..6T bytes`},
		{"rules: [{name: A, expression: cpu > 1}]", `rules[0].expression: "cpu > 1" is not allowed, allowed is a condition in CEL over cpu, networkTx`},
		{"rules: [{name: A, expression: cpu}]", `expected bool`},
		{"rules: [{name: A, expression: memory > 1.0}]", `undeclared reference to 'memory'`},
		{"rules: [{name: A, expression: 1 > 2}]", `reads no signal`},
		{"rules: [{name: A, expression: cpu > 1.0, signal: cpu}]", `rules[0].signal: "cpu" is not allowed, allowed is nothing beside an expression`},
		{"ceiling: {strategy: magic}", `ceiling.strategy: "magic" is not allowed, allowed is fixed or adaptive`},
		{"ceiling: {step: 100%}", `ceiling.step: "1" is not allowed, allowed is a share of 0.1..0.95`},
		{"ceiling: {backoff: {factor: 0.5}}", `ceiling.backoff.factor: "0.5" is not allowed, allowed is a number of 1..10`},
		{"ceiling: {hold: 3h}", `ceiling.backoff.max: "2h0m0s" is not allowed, allowed is a duration of 3h0m0s..24h0m0s`},
		{"target: {metrics: {port: 70000}}", `target.metrics.port: "70000" is not allowed, allowed is a port of 1..65535, or 0 for none`},
		{"target: {metrics: {path: metrics}}", `target.metrics.path: "metrics" is not allowed, allowed is a path that starts with /`},
		{"target: {metrics: {path: //elsewhere/metrics}}", `target.metrics.path: "//elsewhere/metrics" is not allowed`},
		{"target: {metrics: {interval: 100ms}}", `target.metrics.interval: "100ms" is not allowed, allowed is a duration of 1s..1m0s`},
		{"evidence: {profile: 1m}", `evidence.profile: "1m0s" is not allowed, allowed is a duration of 1s..30s`},
		{"evidence: {limit: 1G}", `evidence.limit: "1G" is not allowed, allowed is an amount of 64Ki..16Mi bytes, or 0 for no evidence`},
		{"trace: {path: x, limit: 1k}", `trace.path: "x" is not allowed, allowed is an absolute path, or nothing; line 1: trace.limit: "1k" is not allowed`},
		{
			"moode: enforce",
			`line 1: moode: "enforce" is not allowed, allowed is one of the fields apiVersion, kind, mode, interval, target, rules, ceiling, evidence, trace, api`,
		},
		{"mode: observe\nceiling: {cpuu: 1, hold: [1]}", `line 2: ceiling.cpuu: "1" is not allowed, allowed is one of the fields cpu, floor, ` +
			`strategy, step, hold, releaseAfter, probe, backoff, conflict, onStop; line 2: ceiling.hold: "a list" is not allowed, allowed is a single value`},
		{"ceiling: {cpu: {}}", `line 1: ceiling.cpu: "a mapping" is not allowed, allowed is a single value`},
		{"rules: 5", `line 1: rules: "5" is not allowed, allowed is a list`},
		{"rules: [5]", `line 1: rules[0]: "5" is not allowed, allowed is a mapping`},
		{"target: {podLabels: [a]}", `line 1: target.podLabels: "a list" is not allowed, allowed is a mapping`},
		{"just text", `line 1: the document: "just text" is not allowed, allowed is a mapping`},
		{"mode: enforce\nmode: observe", `already defined`},
		{"mode: enforce\n---\nmode: observe", `more than one document`},
		{"a: [", `error parsing YAML`},
	} {
		_, err := config.Parse([]byte(test.document))
		require.Error(t, err, test.document)
		assert.Contains(t, err.Error(), test.want)
		assert.NotContains(t, err.Error(), "\n", "one line")
	}
}

func TestAllErrorsAtOnce(t *testing.T) {
	_, err := config.Parse([]byte("mode: x\ninterval: y\nceiling: {onStop: z}"))

	var errs config.Errors

	require.True(t, errors.As(err, &errs))
	assert.Len(t, errs, 3)
}

func FuzzParse(f *testing.F) {
	document, err := config.Marshal(config.Default())
	require.NoError(f, err)

	f.Add(document)
	f.Add([]byte("rules: [{name: A, signal: cpu, threshold: 1e400, for: 1h}]"))
	f.Add([]byte("interval: .inf"))
	f.Add([]byte("rules: [{name: A, expression: cpu > 0.4 && networkTx > 1e6, for: 1h, dip: 10%}]"))
	f.Add([]byte("rules: [{name: A, signal: networkTx, credit: {earn: 1M/s, capacity: 3G}, mode: observe}]"))
	f.Add([]byte("ceiling: {strategy: adaptive, step: 50%, probe: 0s, backoff: {factor: 1.5, max: 3h}}\ntrace: {path: /a, limit: 64Ki}"))

	f.Fuzz(func(t *testing.T, document []byte) {
		cfg, err := config.Parse(document)
		if err != nil {
			return
		}

		// Whatever is accepted is within bounds and survives a round trip.
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
