// SPDX-License-Identifier: MPL-2.0

package manifest_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/manifest"
)

func TestPlacement_Validate(t *testing.T) {
	for _, test := range []struct {
		name      string
		placement manifest.Placement
		want      string
	}{
		{"empty", manifest.Placement{}, ""},
		{"of the operator", manifest.Placement{Namespace: "monitoring", Labels: map[string]string{"release": "kube-prometheus-stack"}}, ""},
		{"prefix and empty value", manifest.Placement{Labels: map[string]string{"example.org/team": ""}}, ""},
		{"namespace", manifest.Placement{Namespace: "Monitoring"}, `invalid --namespace "Monitoring": `},
		{"key", manifest.Placement{Labels: map[string]string{"a b": "c"}}, `invalid --label "a b=c": `},
		{"value", manifest.Placement{Labels: map[string]string{"a": "b c"}}, `invalid --label "a=b c": `},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := test.placement.Validate()
			if test.want == "" {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, test.want)
			}
		})
	}
}

func TestNewHead_AddsLabels(t *testing.T) {
	text, err := manifest.YAML(manifest.NewHead("v1", "ConfigMap", manifest.Placement{Namespace: "monitoring", Labels: map[string]string{"release": "kps"}}))
	require.NoError(t, err)

	assert.Equal(t, `apiVersion: v1
kind: ConfigMap
metadata:
  labels:
    app.kubernetes.io/name: spegel-guard
    release: kps
  name: spegel-guard
  namespace: monitoring
`, string(text))
}
