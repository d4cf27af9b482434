// SPDX-License-Identifier: MPL-2.0

package alerts_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/alerts"
	"github.com/spegel-guard/spegel-guard/internal/manifest"
	"github.com/spegel-guard/spegel-guard/pkg/config"
)

// Paths of Debian's tools: make test-cli fetches them and sets these.
const (
	promtoolEnv = "SPEGEL_GUARD_PROMTOOL"
	amtoolEnv   = "SPEGEL_GUARD_AMTOOL"
)

func tool(t *testing.T, env string, args ...string) string {
	t.Helper()

	path := os.Getenv(env)
	if path == "" {
		t.Skip(env + " is not set: make test-cli sets it")
	}

	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	require.NoError(t, err, string(out))

	return string(out)
}

// unitTest is the format of promtool for unit tests.
type unitTest struct {
	RuleFiles          []string    `json:"rule_files"`
	EvaluationInterval string      `json:"evaluation_interval"`
	Tests              []testGroup `json:"tests"`
}

type testGroup struct {
	Interval string      `json:"interval"`
	Series   []series    `json:"input_series"`
	Alerts   []alertTest `json:"alert_rule_test"`
}

type series struct {
	Series string `json:"series"`
	Values string `json:"values"`
}

type alertTest struct {
	At       string     `json:"eval_time"`
	Name     string     `json:"alertname"`
	Expected []expected `json:"exp_alerts"`
}

type expected struct {
	Labels      map[string]string `json:"exp_labels"`
	Annotations map[string]string `json:"exp_annotations"`
}

// checked writes the rules of a configuration, checks them with promtool and returns them by their names.
func checked(t *testing.T, cfg config.Config) (path string, rules map[string]monitoringv1.Rule) {
	t.Helper()

	groups, _ := alerts.Groups(cfg, alerts.DefaultOptions())

	text, err := manifest.YAML(alerts.RuleFile{Groups: groups})
	require.NoError(t, err)

	path = filepath.Join(t.TempDir(), "rules.yaml")
	require.NoError(t, os.WriteFile(path, text, 0o600))

	out := tool(t, promtoolEnv, "check", "rules", path)
	t.Log(out)
	require.Contains(t, out, "SUCCESS")

	return path, byName(groups)
}

func byName(groups []monitoringv1.RuleGroup) map[string]monitoringv1.Rule {
	rules := map[string]monitoringv1.Rule{}

	for _, group := range groups {
		for _, rule := range group.Rules {
			rules[rule.Alert] = rule
		}
	}

	return rules
}

func runTests(t *testing.T, rules string, groups ...testGroup) {
	t.Helper()

	text, err := manifest.YAML(unitTest{RuleFiles: []string{rules}, EvaluationInterval: "30s", Tests: groups})
	require.NoError(t, err)

	path := filepath.Join(t.TempDir(), "test.yaml")
	require.NoError(t, os.WriteFile(path, text, 0o600))

	out := tool(t, promtoolEnv, "test", "rules", path)
	t.Log(out)
	require.Contains(t, out, "SUCCESS")
}

// TestAmtool_AcceptsTheInhibitRule checks the rule in a configuration.
func TestAmtool_AcceptsTheInhibitRule(t *testing.T) {
	text, err := manifest.YAML(alerts.Inhibit())
	require.NoError(t, err)

	path := filepath.Join(t.TempDir(), "alertmanager.yml")
	require.NoError(t, os.WriteFile(path, append([]byte("route: {receiver: none}\nreceivers: [{name: none}]\n"), text...), 0o600))

	out := tool(t, amtoolEnv, "check-config", path)
	t.Log(out)
	require.Contains(t, out, "1 inhibit rules")
}
