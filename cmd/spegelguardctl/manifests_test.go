// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/spegel-guard/spegel-guard/internal/dashboard"
)

// TestRules_PassPromtoolInEachForm: the groups of the PrometheusRule and of the plain form, as YAML and as JSON.
func TestRules_PassPromtoolInEachForm(t *testing.T) {
	promtool := os.Getenv("SPEGEL_GUARD_PROMTOOL")
	if promtool == "" {
		t.Skip("SPEGEL_GUARD_PROMTOOL is not set: make test-cli sets it")
	}

	dir := t.TempDir()
	document := filepath.Join(dir, "guard.yaml")
	require.NoError(t, os.WriteFile(document, []byte("metrics: {listen: \":9470\"}\n"), 0o600))

	c := &cluster{}

	for _, form := range []string{"prometheusrule", "plain"} {
		for _, format := range []string{"yaml", "json"} {
			t.Run(form+" "+format, func(t *testing.T) {
				got := c.run("rules", "--config", document, "--form", form, "-o", format)
				require.Zero(t, got.code, got.stderr)

				var printed struct {
					Groups json.RawMessage
					Spec   struct{ Groups json.RawMessage }
				}

				require.NoError(t, yaml.Unmarshal([]byte(got.stdout), &printed))

				groups := printed.Groups
				if form == "prometheusrule" {
					groups = printed.Spec.Groups
				}

				path := filepath.Join(dir, "rules.json")
				require.NoError(t, os.WriteFile(path, []byte(`{"groups": `+string(groups)+"}"), 0o600))

				out, err := exec.CommandContext(t.Context(), promtool, "check", "rules", "--lint=all", "--lint-fatal", path).CombinedOutput()
				require.NoError(t, err, "%s", out)
				assert.Contains(t, string(out), "SUCCESS: 11 rules found")
			})
		}
	}
}

// TestDashboard_HasTheSameContentInEachForm: JSON, YAML and the ConfigMap.
func TestDashboard_HasTheSameContentInEachForm(t *testing.T) {
	c := &cluster{}

	assert.Equal(t, string(dashboard.JSON), c.run("dashboard").stdout)
	assert.JSONEq(t, string(dashboard.JSON), c.run("dashboard", "-o", "json").stdout)
	assert.Equal(t, "spegel-guard\n", c.run("dashboard", "-o", "jsonpath={.uid}").stdout)

	converted, err := yaml.YAMLToJSON([]byte(c.run("dashboard", "-o", "yaml").stdout))
	require.NoError(t, err)
	assert.JSONEq(t, string(dashboard.JSON), string(converted))

	var object corev1.ConfigMap

	require.NoError(t, yaml.UnmarshalStrict([]byte(c.run("dashboard", "--form", "configmap", "--label", "grafana_dashboard=team").stdout), &object))
	assert.Equal(t, "team", object.Labels["grafana_dashboard"])
	assert.Equal(t, string(dashboard.JSON), object.Data["spegel-guard.json"])
}
