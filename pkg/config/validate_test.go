// SPDX-License-Identifier: MPL-2.0

package config_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
)

func TestParse_NamesWrongFields(t *testing.T) {
	for _, test := range []struct{ document, want string }{
		{"mode: kill", `line 1: invalid mode "kill": must be observe or enforce`},
		{"interval: 5ms", `line 1: invalid interval "5ms": must be a duration of 100ms..1m`},
		{"interval: fast", `line 1: invalid interval "fast": must be a duration of 100ms..1m`},
		{"apiVersion: v2", `line 1: invalid apiVersion "v2": must be v1alpha1`},
		{"ceiling: {cpu: 5m}", `line 1: invalid ceiling.cpu "5m": must be a number of cores such as 500m (100m..1024)`},
		{"ceiling:\n  floor: 1m", `line 2: invalid ceiling.floor "1m": must be a number of cores such as 500m (10m..1024)`},
		{"ceiling: {hold: 0s}", `line 1: invalid ceiling.hold "0s": must be a duration of 1s..24h`},
		{"target: {podLabels: {}}", `line 1: invalid target.podLabels "": must be a mapping of at least one label`},
		{"rules: []", `line 1: invalid rules "0": must be a list of 1..16 rules`},
		{
			"rules:\n- {name: A, signal: cpu, threshold: 400m}\n- {name: A, signal: cpu, threshold: 500k/s}",
			`line 3: invalid rules[1].name "A": must be unique among the rules; ` +
				`line 3: invalid rules[1].threshold "500k/s": must be a number of cores such as 400m (10m..1024)`,
		},
		{"rules: [{name: A, signal: networkTx, threshold: 500k}]", `must be a byte rate such as 500k/s (1k/s..100G/s)`},
		{"rules: [{name: A, signal: networkTx, threshold: much}]", `invalid rules[0].threshold "much": must be`},
		{"rules: [{name: A, signal: smell, threshold: 1}]", `invalid rules[0].signal "smell": must be cpu, networkTx, networkRx, allocation, throttled or cpuPressure`},
		{"api: {tls: {source: files, ca: x, cert: /c, key: /k}}", `invalid api.tls.ca "x": must be`},
		{"api: {listen: nowhere, tls: {source: files, ca: /a, cert: /c, key: /k}}", `invalid api.listen "nowhere": must be`},
		{"api: {tls: {source: vault}}", `invalid api.tls.source "vault": must be talos, files or none`},
		{"api: {listen: '10.0.0.1'}", `line 1: invalid api.listen "10.0.0.1": must be host:port`},
		{"api: {tls: {source: talos, ca: /ca}}", `invalid api.tls.ca "/ca": must be empty beside api.tls.source: talos`},
		{"api: {tls: {source: files, ca: /a, cert: /c, key: /k}, forward: true}", `invalid api.forward "true": must be false, unless api.tls.source is talos`},
		{"rules: [{name: A, signal: cpuPressure, threshold: 0.5}]", `invalid rules[0].threshold "0.5": must be a share such as 50% (1%..100%)`},
		{"rules: [{name: A, signal: cpu, threshold: 400m, release: 500m}]", `invalid rules[0].release "500m": must be at most the threshold`},
		{"rules: [{name: A, signal: cpu, threshold: 400m, dip: 80%}]", `invalid rules[0].dip "0.8": must be a share of 0..0.5`},
		{"rules: [{name: A, signal: cpu, threshold: 400m, dip: nan}]", `invalid rules[0].dip "NaN": must be`},
		{"rules: [{name: A, signal: cpu, threshold: 400m, mode: kill}]", `invalid rules[0].mode "kill": must be observe or enforce`},
		{
			"rules: [{name: A, signal: cpu, credit: {earn: 400m, capacity: 10M}, threshold: 1}]",
			`invalid rules[0].threshold "1": must be empty beside a credit; line 1: invalid rules[0].credit.capacity "10M": must be a CPU time such as 10m (1s..24h)`,
		},
		{"rules: [{name: A, signal: networkTx, credit: {earn: 1M/s, capacity: 10m}}]", `invalid rules[0].credit.capacity "10m": must be an amount of bytes such as 2G (1k..6T)`},
		{"rules: [{name: A, expression: cpu > 1}]", `invalid rules[0].expression "cpu > 1": must be a condition in CEL over cpu, networkTx`},
		{"rules: [{name: A, expression: cpu}]", `expected bool`},
		{"rules: [{name: A, expression: memory > 1.0}]", `undeclared reference to 'memory'`},
		{"rules: [{name: A, expression: 1 > 2}]", `reads no signal`},
		{"rules: [{name: A, expression: cpu > 1.0, signal: cpu}]", `invalid rules[0].signal "cpu": must be empty beside an expression`},
		{"rules: [{name: A, signal: cpu, threshold: 400m, baseline: {}}]", `invalid rules[0].baseline.times "0": must be a number of 1.5..100`},
		{"rules: [{name: A, signal: cpu, threshold: 400m, baseline: {times: much}}]", `invalid rules[0].baseline.times "much": must be a number of 1.5..100`},
		{"rules: [{name: A, signal: cpu, threshold: 400m, baseline: {times: nan}}]", `invalid rules[0].baseline.times "NaN": must be`},
		{"rules:\n- name: A\n  signal: cpu\n  threshold: 400m\n  baseline:\n    times: 1", `line 6: invalid rules[0].baseline.times "1": must be`},
		{"rules: [{name: A, signal: cpu, threshold: 400m, baseline: {times: 101}}]", `invalid rules[0].baseline.times "101": must be`},
		{"rules: [{name: A, signal: cpu, threshold: 400m, baseline: {times: 3, learn: 1m}}]", `invalid rules[0].baseline.learn "1m": must be a duration of 1h..120h`},
		{"rules: [{name: A, signal: cpu, threshold: 400m, baseline: {times: 3, learn: soon}}]", `invalid rules[0].baseline.learn "soon": must be`},
		{"rules: [{name: A, signal: cpu, threshold: 400m, baseline: {time: 3}}]", `invalid rules[0].baseline.time "3": must be one of the fields times, learn`},
		{"rules: [{name: A, signal: cpu, threshold: 400m, baseline: 3}]", `invalid rules[0].baseline "3": must be a mapping`},
		{"rules: [{name: A, signal: cpu, baseline: {times: 3}}]", `invalid rules[0].threshold "": must be a number of cores such as 400m (10m..1024)`},
		{"rules: [{name: A, signal: cpu, threshold: 400m, release: 100m, baseline: {times: 3}}]", `invalid rules[0].release "100m": must be empty beside a baseline`},
		{"rules: [{name: A, signal: cpu, credit: {earn: 400m, capacity: 10m}, baseline: {times: 3}}]", `invalid rules[0].baseline "3": must be empty beside a credit`},
		{"rules: [{name: A, expression: cpu > 1.0, baseline: {times: 3}}]", `invalid rules[0].baseline "3": must be empty beside an expression`},
		{
			"rules: [{name: A, mode: enforce, signal: cpu, threshold: 400m, baseline: {times: 3}}]",
			`invalid rules[0].mode "enforce": must be observe or empty beside a baseline: write a threshold to enforce`,
		},
		{"ceiling: {strategy: magic}", `invalid ceiling.strategy "magic": must be fixed or adaptive`},
		{"ceiling: {step: 100%}", `invalid ceiling.step "1": must be a share of 0.1..0.95`},
		{"ceiling: {backoff: {factor: 0.5}}", `invalid ceiling.backoff.factor "0.5": must be a number of 1..10`},
		{"ceiling: {hold: 3h}", `invalid ceiling.backoff.max "2h": must be a duration of 3h..24h`},
		{"target: {metrics: {port: 70000}}", `invalid target.metrics.port "70000": must be a port of 1..65535, or 0 for none`},
		{"target: {metrics: {path: metrics}}", `invalid target.metrics.path "metrics": must be a path that starts with /`},
		{"target: {metrics: {readiness: {port: 70000}}}", `invalid target.metrics.readiness.port "70000": must be a port of 1..65535, or 0 for none`},
		{"target: {metrics: {readiness: {path: readyz}}}", `invalid target.metrics.readiness.path "readyz": must be a path that starts with /`},
		{"target: {metrics: {path: //elsewhere/metrics}}", `invalid target.metrics.path "//elsewhere/metrics": must be`},
		{"target: {metrics: {interval: 100ms}}", `invalid target.metrics.interval "100ms": must be a duration of 1s..1m`},
		{"evidence: {profile: 1m}", `invalid evidence.profile "1m": must be a duration of 1s..30s`},
		{"evidence: {limit: 1G}", `invalid evidence.limit "1G": must be an amount of 64Ki..16Mi bytes, or 0 for no evidence`},
		{"trace: {path: x, limit: 1k}", `invalid trace.path "x": must be an absolute path, or empty; line 1: invalid trace.limit "1k": must be`},
		{
			"moode: enforce",
			`line 1: invalid moode "enforce": must be one of the fields apiVersion, kind, mode, interval, target, rules, ceiling, evidence, trace, api`,
		},
		{"mode: observe\nceiling: {cpuu: 1, hold: [1]}", `line 2: invalid ceiling.cpuu "1": must be one of the fields cpu, floor, ` +
			`strategy, step, hold, releaseAfter, probe, backoff, conflict, onStop; line 2: invalid ceiling.hold "a list": must be a single value`},
		{"ceiling: {cpu: {}}", `line 1: invalid ceiling.cpu "a mapping": must be a single value`},
		{"rules: 5", `line 1: invalid rules "5": must be a list`},
		{"rules: [5]", `line 1: invalid rules[0] "5": must be a mapping`},
		{"target: {podLabels: [a]}", `line 1: invalid target.podLabels "a list": must be a mapping`},
		{"just text", `line 1: invalid document "just text": must be a mapping`},
		{"mode: enforce\nmode: observe", `line 2: invalid mode "observe": must be written once, and line 1 has it already`},
		{"mode: enforce\n---\nmode: observe", `more than one document`},
		{"a: [", `failed to parse YAML`},
	} {
		t.Run(test.document, func(t *testing.T) {
			_, err := config.Parse([]byte(test.document))
			require.Error(t, err)
			assert.Contains(t, err.Error(), test.want)
			assert.NotContains(t, err.Error(), "\n", "one line")
		})
	}
}

// broken has one error of each kind.
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

func TestParse_NamesAllErrorsAtOnce(t *testing.T) {
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

// TestParse_ProbeOfApplicationMetrics: a rule that leads to a ceiling must be able to measure something in a probe.
func TestParse_ProbeOfApplicationMetrics(t *testing.T) {
	const (
		enforced = "\nrules: [{name: C, signal: cpu, threshold: 1}, {name: A, signal: allocation, threshold: 1G/min}]"
		slow     = "target: {metrics: {interval: 20s}}"
	)

	for _, test := range []struct{ name, document, want string }{
		{
			"too short", slow + enforced,
			`invalid ceiling.probe "1m": must be at least 1m40s (5 times target.metrics.interval), or 0s: the enforced rule A reads the application metrics`,
		},
		{"line", "ceiling:\n  probe: 49s" + enforced, `line 2: invalid ceiling.probe "49s": must be at least 50s (5 times target.metrics.interval), or 0s: `},
		{"long enough", "ceiling: {probe: 50s}" + enforced, ""},
		{"rare samples", "interval: 16s" + enforced, `invalid ceiling.probe "1m": must be at least 1m20s (5 times interval), or 0s: `},
		{"expression", slow + "\nrules: [{name: E, expression: cpu > 1.0 && allocation > 1.0}]", `the enforced rule E reads the application metrics`},
		{"credit", slow + "\nrules: [{name: G, signal: allocation, credit: {earn: 1G/min, capacity: 1G}}]", `the enforced rule G reads`},
		{"expression of others", slow + "\nrules: [{name: E, expression: cpu > 1.0 && networkTx > 1.0}]", ""},
		{"wrong expression", slow + "\nrules: [{name: E, expression: allocation}]", `invalid rules[0].expression "allocation": must be`},
		{"mode observe", "mode: observe\n" + slow + enforced, ""},
		{"rule in mode observe", slow + "\nrules: [{name: A, mode: observe, signal: allocation, threshold: 1G/min}]", ""},
		{"baseline", slow + "\nrules: [{name: A, signal: allocation, threshold: 1G/min, baseline: {times: 3}}]", ""},
		{"default rules", slow, ""},
		{"no probe", slow + "\nceiling: {probe: 0s}" + enforced, ""},
		{"no application metrics", "target: {metrics: {port: 0, interval: 20s}}" + enforced, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := config.Parse([]byte(test.document))

			if test.want == "" {
				assert.NoError(t, err)

				return
			}

			var errs config.Errors

			require.ErrorAs(t, err, &errs)
			assert.Len(t, errs, 1)
			assert.ErrorContains(t, err, test.want)
		})
	}
}
