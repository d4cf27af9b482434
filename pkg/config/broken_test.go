// SPDX-License-Identifier: MPL-2.0

package config_test

import (
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
)

// broken has one mistake of each kind; TestEveryMistakeInOneGo says where.
const broken = `apiVersion: v1
mode: kill
interval: 5ms
interval: 1s
targets: {}
target:
  podLabels: [spegel]
  metrics: {port: http}
rules:
  - name: High CPU
    signal: cpu
    threshold: 500k/s
    treshold: 400m
  - 5
  - {name: TX, signal: networkTx, threshold: 500k/s, for: ever, dip: 80%}
ceiling:
  cpu: 5m
  hold: [10m]
  backoff: {factor: 20}
api: {forward: maybe}
`

func TestEveryMistakeInOneGo(t *testing.T) {
	_, err := config.Parse([]byte(broken))

	var errs config.Errors

	require.True(t, errors.As(err, &errs))

	type place struct {
		line  int
		field string
	}

	var places []place

	for _, e := range errs {
		places = append(places, place{e.Line, e.Field})
	}

	assert.Equal(t, []place{
		{1, "apiVersion"}, {2, "mode"}, {3, "interval"}, {4, "interval"}, {5, "targets"}, {7, "target.podLabels"}, {8, "target.metrics.port"},
		{10, "rules[0].name"}, {12, "rules[0].threshold"}, {13, "rules[0].treshold"}, {14, "rules[1]"},
		{15, "rules[2].for"}, {15, "rules[2].dip"}, {17, "ceiling.cpu"}, {18, "ceiling.hold"}, {19, "ceiling.backoff.factor"}, {20, "api.forward"},
	}, places)
}

func TestSettingsNameTheirLines(t *testing.T) {
	document := []byte("mode: observe\ntarget:\n  podLabels:\n    app.kubernetes.io/name: mirror\nrules:\n- {name: A, signal: cpu, threshold: 200m}\nceiling: {cpu: 400m,\n  hold: }")

	cfg, err := config.Parse(document)
	require.NoError(t, err)

	settings, err := config.Settings(cfg, document)
	require.NoError(t, err)

	for _, want := range []config.Setting{
		{Field: "mode", Value: "observe", Line: 1}, {Field: "interval", Value: "1s"},
		{Field: "target.podLabels.app.kubernetes.io/name", Value: "mirror", Line: 4},
		{Field: "rules[0].threshold", Value: "200m", Line: 6}, {Field: "rules[0].window", Value: "1m0s"},
		{Field: "ceiling.cpu", Value: "400m", Line: 7}, {Field: "ceiling.hold", Value: "10m0s"},
	} {
		assert.Contains(t, settings, want)
	}

	settings, err = config.Settings(config.Default(), nil)
	require.NoError(t, err)

	for _, setting := range settings {
		assert.Zero(t, setting.Line, setting.Field)
	}
}

func TestFindInMachineConfigurations(t *testing.T) {
	file, err := os.ReadFile("../../extension/patches/observe.yaml")
	require.NoError(t, err)

	found, err := config.Find(append([]byte("machine: {type: worker}\n---\n"), file...))
	require.NoError(t, err)
	require.Len(t, found, 1)
	assert.Equal(t, "apiVersion: v1alpha1\nkind: SpegelGuardConfig\nmode: observe\n", string(found[0].Document))
	assert.Equal(t, 10, found[0].Offset, "the line before the document's first")

	for _, plain := range []string{"", "mode: observe", "kind: SpegelGuardConfig\nmode: kill", "- 1"} {
		found, err = config.Find([]byte(plain))
		require.NoError(t, err)
		assert.Equal(t, []config.Embedded{{Document: []byte(plain)}}, found)
	}

	_, err = config.Find([]byte("apiVersion: v1alpha1\nkind: HostnameConfig\nhostname: a\n"))
	require.ErrorIs(t, err, config.ErrNoDocument)

	_, err = config.Find([]byte("a: ["))
	require.ErrorContains(t, err, "line 1")
}
