// SPDX-License-Identifier: MPL-2.0

package alerts_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/alerts"
	"github.com/spegel-guard/spegel-guard/pkg/config"
)

// everySignal has every alert: a rule on each signal, and metrics of the guards.
const everySignal = `
metrics: {listen: ":9470"}
rules:
- {name: SpegelHighCPU, signal: cpu, threshold: 550m, for: 10m}
- {name: SpegelHighNetworkTX, signal: networkTx, threshold: 1M/s, for: 10m}
- {name: SpegelHighNetworkRX, signal: networkRx, threshold: 1M/s, for: 10m}
- {name: SpegelHighMemoryAllocation, signal: allocation, threshold: 1G/min, for: 1m}
ceiling: {probe: 1m}
`

// firing is an alert, and series for which it fires and no other alert does.
type firing struct {
	name, alert string
	// quiet is a time at which it does not fire yet, if any, and at one at which it does.
	quiet, at string
	series    fleet
	labels    map[string]string
	// value is that of the description.
	value string
}

// labelled returns the labels of an alert on the culprit's workload.
func labelled(severity string, names ...string) map[string]string {
	all := map[string]string{
		"namespace": "spegel", "pod": "spegel-2x7k2", "container": "registry", "instance": "talos-prod-2", "job": "spegel-guard", "node": "talos-prod-2",
		"errno": "EROFS", "state": "no-cri",
	}
	found := map[string]string{"severity": severity}

	for _, name := range names {
		found[name] = all[name]
	}

	return found
}

func firings() []firing {
	var (
		pod     = labelled("warning", "namespace", "pod", "node")
		guarded = labelled("warning", "namespace", "pod", "container", "instance")
		counted = labelled("warning", "namespace", "pod", "instance")

		kubelet = `namespace="spegel", pod="spegel-2x7k2", node="talos-prod-2"`
	)

	return []firing{
		{
			"CPU", alerts.HighCPU, "10m", "13m", fleet{`container_cpu_usage_seconds_total{container="registry", ` + kubelet + `}`: rising(1.8)}, pod, "1.8",
		},
		{
			"sent", alerts.HighTX, "10m", "13m", fleet{`container_network_transmit_bytes_total{interface="eth0", ` + kubelet + `}`: rising(1.4e6)}, pod, "1.4M",
		},
		{
			"received", alerts.HighRX, "10m", "13m", fleet{`container_network_receive_bytes_total{interface="eth0", ` + kubelet + `}`: rising(1.4e6)}, pod, "1.4M",
		},
		{
			// It leads: minutes before the others.
			"allocated", alerts.HighAllocation, "1m", "3m", fleet{`go_memstats_alloc_bytes_total{container="registry", ` + kubelet + `}`: rising(9.6e9 / 60)}, pod, "160M",
		},
		{
			"no answer", alerts.Down, "9m", "11m", fleet{"up{" + of + "}": constant(0)}, labelled("warning", "job", "instance"), "",
		},
		{
			"ceiling", alerts.CeilingInForce, "", "1m", fleet{"spegel_guard_ceiling_cores{" + target + "}": constant(0.5)}, guarded, "500m",
		},
		{
			// Lifted for a probe.
			"ceiling in a probe", alerts.CeilingInForce, "", "11m", fleet{"spegel_guard_ceiling_cores{" + target + "}": "0.5x20 stale _x1 0.5x20"}, guarded, "500m",
		},
		{
			"throttled again", alerts.Flapping, "1m", "25m", fleet{"spegel_guard_throttles_total{" + target + "}": "0+1x60"}, counted, "50",
		},
		{
			"failed probes", alerts.Contained, "", "1m", fleet{"spegel_guard_ceiling_failed_probes{" + target + "}": constant(2)}, guarded, "2",
		},
		{
			"no CRI", alerts.Unavailable, "9m", "11m", fleet{`spegel_guard_state{state="no-cri", ` + of + `}`: constant(1)}, labelled("warning", "job", "instance", "state"), "",
		},
		{
			"read-only", alerts.ApplyFailed, "0s", "10m", fleet{`spegel_guard_apply_failures_total{errno="EROFS", ` + of + `}`: "0+1x60"}, labelled("critical", "instance", "errno"), "",
		},
		{
			"VPA", alerts.Conflict, "1m", "10m", fleet{"spegel_guard_external_changes_total{" + target + "}": "0+1x60"}, counted, "20",
		},
		{
			"no samples", alerts.Stalled, "6m", "10m", fleet{"spegel_guard_last_sample_timestamp_seconds{" + target + "}": constant(0)},
			labelled("warning", "namespace", "pod", "container", "instance", "job"), "10m 0s",
		},
	}
}

// description returns the description of an alert with its values.
func (f firing) description(template string) string {
	pairs := []string{"{{ $value | humanize }}", f.value, "{{ $value | humanizeDuration }}", f.value}

	node, ok := f.labels["instance"]
	if !ok {
		node = "every node"
	}

	pairs = append(pairs, "{{ with $labels.instance }}{{ . }}{{ else }}every node{{ end }}", node)

	for name, value := range f.labels {
		pairs = append(pairs, "{{ $labels."+name+" }}", value)
	}

	return strings.NewReplacer(pairs...).Replace(template)
}

// TestPromtool_FiresEachAlert: each alert fires on series made for it, not before its time, and no other alert fires on them.
func TestPromtool_FiresEachAlert(t *testing.T) {
	cfg, err := config.Parse([]byte(everySignal))
	require.NoError(t, err)

	path, rules := checked(t, cfg)
	groups := []testGroup{}
	tested := map[string]bool{}

	all := append(firings(), firing{"no guards", alerts.Down, "9m", "11m", nil, labelled("warning", "job"), ""})

	for _, f := range all {
		tested[f.alert] = true
		input := healthy().with(f.series)

		if f.name == "no guards" {
			maps.DeleteFunc(input, func(name, _ string) bool { return strings.Contains(name, `job="spegel-guard"`) })
		}

		group := testGroup{Interval: "30s", Series: input.series()}

		for _, name := range slices.Sorted(maps.Keys(rules)) {
			want := []expected{}

			if name == f.alert {
				annotations := maps.Clone(rules[name].Annotations)
				annotations["description"] = f.description(annotations["description"])
				want = append(want, expected{Labels: f.labels, Annotations: annotations})

				if f.quiet != "" {
					group.Alerts = append(group.Alerts, alertTest{f.quiet, name, []expected{}})
				}
			}

			group.Alerts = append(group.Alerts, alertTest{f.at, name, want})
		}

		groups = append(groups, group)
	}

	for name := range rules {
		assert.True(t, tested[name], "no series for the alert %s: add them to firings", name)
	}

	runTests(t, path, groups...)
}

// TestPromtool_FiresNothingOnHealthyNodes: no alert fires on guards and pods of a calm fleet, at any time.
func TestPromtool_FiresNothingOnHealthyNodes(t *testing.T) {
	cfg, err := config.Parse([]byte(everySignal))
	require.NoError(t, err)

	path, rules := checked(t, cfg)
	group := testGroup{Interval: "30s", Series: healthy().series()}

	for name := range rules {
		for _, at := range []string{"0s", "2m", "11m", "15m", "30m", "59m"} {
			group.Alerts = append(group.Alerts, alertTest{at, name, []expected{}})
		}
	}

	runTests(t, path, group)
}

// TestPromtool_EndsTheCeilingsAlert: two minutes after the ceiling, with a probe of one minute.
func TestPromtool_EndsTheCeilingsAlert(t *testing.T) {
	cfg, err := config.Parse([]byte(everySignal))
	require.NoError(t, err)

	path, _ := checked(t, cfg)

	runTests(t, path, testGroup{
		Interval: "30s",
		Series:   healthy().with(fleet{"spegel_guard_ceiling_cores{" + target + "}": "0.5x10 stale _x60"}).series(),
		Alerts:   []alertTest{{"8m", alerts.CeilingInForce, []expected{}}},
	})
}

// TestPromtool_CeilingThatLimitsNothing: its guard is firing, as its rule still measures the breach of another signal.
func TestPromtool_CeilingThatLimitsNothing(t *testing.T) {
	path, _ := checked(t, config.Default())

	runTests(t, path, testGroup{
		Interval: "30s",
		Series: healthy().with(fleet{
			"spegel_guard_ceiling_cores{" + target + "}":     constant(0.5),
			`spegel_guard_state{state="firing", ` + of + `}`: constant(1),
		}).series(),
		Alerts: []alertTest{{"8m", alerts.CeilingInForce, []expected{}}},
	})
}

// TestPromtool_FiresAlertsForTheCulprit: on the incident's table, for the pod of the culprit alone, allocation first.
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
		name string
		cfg  config.Config
		// Times at which the alerts on CPU and TX are quiet and fire, and the one on allocation.
		quiet, loud string
		leads       [2]string
	}{
		{"default thresholds", config.Default(), "10m", "13m", [2]string{"1m", "3m"}},
		{"custom thresholds", custom, "5m", "9m", [2]string{"5m", "8m"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			path, rules := checked(t, test.cfg)
			group := testGroup{Interval: "30s", Series: healthy().with(culprit.pods()).series()}

			for _, f := range firings() {
				if _, ok := rules[f.alert]; !ok || f.labels["node"] == "" {
					continue
				}

				annotations := maps.Clone(rules[f.alert].Annotations)
				annotations["description"] = f.description(annotations["description"])

				quiet, loud := test.quiet, test.loud
				if f.alert == alerts.HighAllocation {
					quiet, loud = test.leads[0], test.leads[1]
				}

				group.Alerts = append(group.Alerts,
					alertTest{quiet, f.alert, []expected{}}, alertTest{loud, f.alert, []expected{{Labels: f.labels, Annotations: annotations}}})
			}

			require.Len(t, group.Alerts, 6)
			runTests(t, path, group)
		})
	}
}
