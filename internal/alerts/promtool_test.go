// SPDX-License-Identifier: MPL-2.0

package alerts_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/alerts"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/test/incident"
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

// step of the series in seconds: the kubelet's usual scrape interval.
const step = 30

// incidentSeries has the incident's three nodes: one culprit and two affected pods.
func incidentSeries() []series {
	var all []series

	for _, f := range incident.Table() {
		labels := fmt.Sprintf(`namespace="spegel", pod="spegel-%sx7k2", node=%q`, strings.TrimPrefix(f.Name, "talos-prod-"), f.Name)
		rising := func(rate float64) string { return fmt.Sprintf("0+%gx60", rate*step) }

		all = append(
			all,
			series{`container_cpu_usage_seconds_total{container="registry", ` + labels + `}`, rising(f.CPU)},
			series{`container_network_transmit_bytes_total{interface="eth0", ` + labels + `}`, rising(f.TX)},
			series{`container_network_transmit_bytes_total{interface="lo", ` + labels + `}`, rising(1e9)},
			series{`go_memstats_alloc_bytes_total{container="registry", ` + labels + `}`, rising(f.Allocation)},
			// The alerts do not select other pods.
			series{`container_cpu_usage_seconds_total{container="busy", namespace="other", pod="batch-` + f.Name + `", node="` + f.Name + `"}`, rising(8)},
		)
	}

	return all
}

// checked writes the rules of a configuration and checks them with promtool.
func checked(t *testing.T, cfg config.Config) (path string, annotations map[string]map[string]string) {
	t.Helper()

	groups, _ := alerts.Groups(cfg, alerts.Options{})

	text, err := alerts.YAML(alerts.RuleFile{Groups: groups})
	require.NoError(t, err)

	path = filepath.Join(t.TempDir(), "rules.yaml")
	require.NoError(t, os.WriteFile(path, text, 0o600))

	out := tool(t, promtoolEnv, "check", "rules", path)
	t.Log(out)
	require.Contains(t, out, "SUCCESS")

	annotations = map[string]map[string]string{}

	for _, group := range groups {
		for _, rule := range group.Rules {
			annotations[rule.Alert] = rule.Annotations
		}
	}

	return path, annotations
}

func runTests(t *testing.T, rules string, groups ...testGroup) {
	t.Helper()

	text, err := alerts.YAML(unitTest{RuleFiles: []string{rules}, EvaluationInterval: "30s", Tests: groups})
	require.NoError(t, err)

	path := filepath.Join(t.TempDir(), "test.yaml")
	require.NoError(t, os.WriteFile(path, text, 0o600))

	out := tool(t, promtoolEnv, "test", "rules", path)
	t.Log(out)
	require.Contains(t, out, "SUCCESS")
}

// TestPromtool_FiresAlertsForTheCulprit checks that the alerts on targets fire for the culprit only, after their time.
func TestPromtool_FiresAlertsForTheCulprit(t *testing.T) {
	custom, err := config.Parse([]byte(`
target: {namespace: spegel}
rules:
- {name: SpegelHighCPU, signal: cpu, threshold: 300m, for: 5m}
- {name: SpegelHighNetworkTX, signal: networkTx, threshold: 900k/s, for: 5m, window: 5m}
- {name: SpegelHighMemoryAllocation, mode: observe, signal: allocation, threshold: 500M/min, for: 5m}
- {name: Both, expression: cpu > 0.3 && networkTx > 300000.0}
- {name: Pressed, signal: cpuPressure, threshold: 50%}
`))
	require.NoError(t, err)

	for _, test := range []struct {
		name             string
		cfg              config.Config
		quiet, loud      string
		cpu, tx, alloced string
		// leads is when the alert on allocation has not fired yet, and when it has.
		leads [2]string
	}{
		{"default thresholds", config.Default(), "10m", "13m", "550m", "1M/s", "1G/min", [2]string{"1m", "3m"}},
		{"custom thresholds", custom, "5m", "9m", "300m", "900k/s", "500M/min", [2]string{"5m", "8m"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			rules, annotations := checked(t, test.cfg)
			group := testGroup{Interval: "30s", Series: incidentSeries()}

			for name, summary := range map[string]string{
				alerts.HighCPU:        "spegel-2x7k2 uses 1.8 cores, above " + test.cpu,
				alerts.HighTX:         "spegel-2x7k2 sends 1.4MB/s, above " + test.tx,
				alerts.HighAllocation: "spegel-2x7k2 allocates 160MB/s, above " + test.alloced,
			} {
				fires := expected{
					Labels:      map[string]string{"namespace": "spegel", "pod": "spegel-2x7k2", "node": "talos-prod-2", "severity": "warning"},
					Annotations: map[string]string{"summary": summary, "description": annotations[name]["description"]},
				}

				quiet, loud := test.quiet, test.loud
				if name == alerts.HighAllocation {
					quiet, loud = test.leads[0], test.leads[1]
				}

				group.Alerts = append(group.Alerts, alertTest{quiet, name, []expected{}}, alertTest{loud, name, []expected{fires}})
			}

			runTests(t, rules, group)
		})
	}
}

// TestPromtool_FiresAlertsForGuards checks that each alert on guards fires for its own series only.
func TestPromtool_FiresAlertsForGuards(t *testing.T) {
	rules, annotations := checked(t, config.Default())

	const target = `namespace="spegel", pod="spegel-1", container="registry", instance="10.0.0.1:9"`

	tests := []struct {
		alert, at, sick, healthy, values, fine string
		labels                                 map[string]string
		summary                                string
	}{
		{
			alerts.CeilingInForce, "1m", "spegel_guard_ceiling_cores{" + target + "}", "up", "0.5+0x60", "1+0x60",
			map[string]string{"namespace": "spegel", "pod": "spegel-1", "container": "registry", "instance": "10.0.0.1:9", "severity": "info"},
			"spegel-1 is under a ceiling of 500m cores",
		},
		{
			alerts.Flapping, "25m", "spegel_guard_throttles_total{" + target + "}", `spegel_guard_throttles_total{pod="calm"}`, "0+1x60", "1+0x60",
			map[string]string{"namespace": "spegel", "pod": "spegel-1", "instance": "10.0.0.1:9", "severity": "warning"}, "",
		},
		{
			alerts.Contained, "1m", "spegel_guard_ceiling_failed_probes{" + target + "}", `spegel_guard_ceiling_failed_probes{pod="calm"}`, "2+0x60", "1+0x60",
			map[string]string{"namespace": "spegel", "pod": "spegel-1", "container": "registry", "instance": "10.0.0.1:9", "severity": "warning"},
			"spegel-1 exceeded its rule again in 2 probes",
		},
		{
			alerts.Unavailable, "12m", `spegel_guard_state{state="unavailable", instance="10.0.0.1:9"}`, `spegel_guard_state{state="throttled", instance="10.0.0.1:9"}`, "1+0x60", "1+0x60",
			map[string]string{"state": "unavailable", "instance": "10.0.0.1:9", "severity": "warning"}, "the guard on 10.0.0.1:9 is unavailable",
		},
		{
			alerts.ApplyFailed, "10m", `spegel_guard_apply_failures_total{errno="EROFS", instance="10.0.0.1:9"}`, `spegel_guard_apply_failures_total{errno="EACCES"}`, "0+1x60", "1+0x60",
			map[string]string{"errno": "EROFS", "instance": "10.0.0.1:9", "severity": "critical"}, "the guard on 10.0.0.1:9 could not write a ceiling (EROFS)",
		},
		{
			alerts.Conflict, "20m", "spegel_guard_external_changes_total{" + target + "}", `spegel_guard_external_changes_total{pod="calm"}`, "0+1x60", "1+0x60",
			map[string]string{"namespace": "spegel", "pod": "spegel-1", "instance": "10.0.0.1:9", "severity": "warning"}, "another program changes cpu.max of spegel-1",
		},
		{
			alerts.Stalled, "10m", `spegel_guard_last_sample_timestamp_seconds{instance="10.0.0.1:9"}`, `spegel_guard_last_sample_timestamp_seconds{instance="fine"}`, "0+0x60", "0+30x60",
			map[string]string{"instance": "10.0.0.1:9", "severity": "warning"}, "the guard on 10.0.0.1:9 takes no samples",
		},
	}

	// A ceiling that limits nothing is no reason for an alert.
	groups := []testGroup{{
		Interval: "30s",
		Series: []series{
			{"spegel_guard_ceiling_cores{" + target + "}", "0.5+0x60"},
			{`spegel_guard_state{state="firing", instance="10.0.0.1:9"}`, "1+0x60"},
			{`spegel_guard_state{state="throttled", instance="10.0.0.1:9"}`, "0+0x60"},
		},
		Alerts: []alertTest{{"1m", alerts.CeilingInForce, []expected{}}},
	}}

	labelled := strings.NewReplacer("{{ $labels.namespace }}", "spegel", "{{ $labels.pod }}", "spegel-1")

	for _, test := range tests {
		summary := test.summary
		if summary == "" {
			summary = "spegel-1 was throttled 50 times in 6 hours"
		}

		groups = append(groups, testGroup{
			Interval: "30s", Series: []series{{test.sick, test.values}, {test.healthy, test.fine}},
			Alerts: []alertTest{{test.at, test.alert, []expected{{
				Labels: test.labels, Annotations: map[string]string{"summary": summary, "description": labelled.Replace(annotations[test.alert]["description"])},
			}}}},
		})
	}

	runTests(t, rules, groups...)
}

// TestAmtool_AcceptsTheInhibitRule checks the rule in a configuration.
func TestAmtool_AcceptsTheInhibitRule(t *testing.T) {
	text, err := alerts.YAML(alerts.Inhibit())
	require.NoError(t, err)

	path := filepath.Join(t.TempDir(), "alertmanager.yml")
	require.NoError(t, os.WriteFile(path, append([]byte("route: {receiver: none}\nreceivers: [{name: none}]\n"), text...), 0o600))

	out := tool(t, amtoolEnv, "check-config", path)
	t.Log(out)
	require.Contains(t, out, "1 inhibit rules")
}
