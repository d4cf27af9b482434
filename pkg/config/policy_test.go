// SPDX-License-Identifier: MPL-2.0

package config_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

func TestConfig_PolicyConverts(t *testing.T) {
	cfg, err := config.Parse([]byte(`
mode: observe
rules:
  - {name: Threshold, signal: networkTx, threshold: 30M/min, for: 10m, dip: 10%, mode: enforce}
  - {name: Release, signal: throttled, threshold: 50%, release: 20%, window: 2m}
  - {name: CPUCredit, signal: cpu, credit: {earn: 500m, capacity: 10m}}
  - {name: ByteCredit, signal: networkRx, credit: {earn: 1M/s, capacity: 3G}}
  - {name: Unusual, signal: networkTx, threshold: 100k/s, baseline: {times: 3}, for: 10m}
  - {name: Rare, signal: cpu, threshold: 500m, baseline: {times: 4.5, learn: 48h}, mode: observe}
ceiling: {cpu: 250m, strategy: adaptive, step: 50%, hold: 1m, releaseAfter: 2m, probe: 3m, backoff: {factor: 3, max: 4h}}
`))
	require.NoError(t, err)

	assert.Equal(t, policy.Config{
		Mode: policy.ModeObserve,
		Rules: []policy.Rule{
			{
				Name: "Threshold", Signal: policy.SignalNetworkTX, Mode: policy.ModeEnforce, Threshold: 500e3, Release: 350e3,
				For: 10 * time.Minute, Dip: 0.1, Window: time.Minute, Text: "30M/min",
			},
			{Name: "Release", Signal: policy.SignalThrottled, Threshold: 0.5, Release: 0.2, Window: 2 * time.Minute, Text: "50%"},
			{
				Name: "CPUCredit", Signal: policy.SignalCPU, Threshold: 0.5, Release: 0.35, Window: time.Minute,
				Credit: policy.Credit{Capacity: 600, Text: "10m"}, Text: "500m",
			},
			{
				Name: "ByteCredit", Signal: policy.SignalNetworkRX, Threshold: 1e6, Release: 700e3, Window: time.Minute,
				Credit: policy.Credit{Capacity: 3e9, Text: "3G"}, Text: "1M/s",
			},
			{
				Name: "Unusual", Signal: policy.SignalNetworkTX, Mode: policy.ModeObserve, Threshold: 100e3, Release: 70e3, For: 10 * time.Minute,
				Window: time.Minute, Baseline: policy.Baseline{Times: 3, Learn: 24 * time.Hour}, Text: "3 times its usual level, at least 100k/s",
			},
			{
				Name: "Rare", Signal: policy.SignalCPU, Mode: policy.ModeObserve, Threshold: 0.5, Release: 0.35, Window: time.Minute,
				Baseline: policy.Baseline{Times: 4.5, Learn: 48 * time.Hour}, Text: "4.5 times its usual level, at least 500m",
			},
		},
		Ceiling: policy.Ceiling{
			Millicores: 250, Floor: 100, Strategy: policy.StrategyAdaptive, Step: 0.5, Hold: time.Minute, ReleaseAfter: 2 * time.Minute,
			Probe: 3 * time.Minute, Backoff: policy.Backoff{Factor: 3, Max: 4 * time.Hour},
		},
	}, cfg.Policy())
}

func TestExpression_Evaluates(t *testing.T) {
	cfg, err := config.Parse([]byte("rules: [{name: A, expression: cpu > 0.4 && networkTx > 500000.0}, {name: B, expression: int(cpu) % int(networkTx) > 0}]"))
	require.NoError(t, err)

	rules := cfg.Policy().Rules
	expression := rules[0].Expression
	assert.Equal(t, "cpu > 0.4 && networkTx > 500000.0", expression.String())
	assert.Equal(t, expression.String(), rules[0].Text)
	assert.Equal(t, []policy.Signal{policy.SignalCPU, policy.SignalNetworkTX}, expression.Signals())

	for _, test := range []struct {
		name     string
		averages map[policy.Signal]float64
		want     bool
	}{
		{"both above", map[policy.Signal]float64{policy.SignalCPU: 0.5, policy.SignalNetworkTX: 600e3}, true},
		{"one above", map[policy.Signal]float64{policy.SignalCPU: 0.5}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := expression.Eval(func(signal policy.Signal) float64 { return test.averages[signal] })
			require.NoError(t, err)
			assert.Equal(t, test.want, got)
		})
	}

	_, err = rules[1].Expression.Eval(func(policy.Signal) float64 { return 0 })
	require.ErrorContains(t, err, `failed to evaluate "int(cpu) % int(networkTx) > 0"`)
}
