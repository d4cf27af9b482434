// SPDX-License-Identifier: MPL-2.0

package config_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
)

// TestParse_RefusesWhatOverflows gives each field with a number values that no type holds, among them those that come out within
// bounds when they are wrapped.
func TestParse_RefusesWhatOverflows(t *testing.T) {
	quantities := []string{
		"1e30", "9223372036854775807Gi", "-1", ".nan", ".inf", "-.inf", "1e4294967296", "1e4000000000", "18446744073709552.116", "18446744073709552116m",
		"1e999999999999", "99999999999999999999999999999999999999999999999999", "1e-4294967295",
	}
	durations := []string{"3000000h", "-1s", "9223372036854775808ns", "1e30s", ".nan", ".inf", "NaNs", "87600h"}
	shares := []string{"1e30", "-1", ".nan", ".inf", "NaN", "Inf", "NaN%", "1e400", "5000000%"}

	for _, test := range []struct {
		document string
		field    string
		values   []string
	}{
		{"ceiling: {cpu: %s}", "ceiling.cpu", quantities},
		{"ceiling: {floor: %s}", "ceiling.floor", quantities},
		{"evidence: {limit: %s}", "evidence.limit", quantities},
		{"trace: {limit: %s}", "trace.limit", quantities},
		{"rules: [{name: A, signal: cpu, for: 1h, threshold: %s}]", "rules[0].threshold", quantities},
		{"rules: [{name: A, signal: networkTx, for: 1h, threshold: %s/s}]", "rules[0].threshold", quantities},
		{"rules: [{name: A, signal: throttled, for: 1h, threshold: %s%%}]", "rules[0].threshold", quantities},
		{"rules: [{name: A, signal: cpu, for: 1h, threshold: 1, release: %s}]", "rules[0].release", append(quantities[:2:2], quantities[3:]...)},
		{"rules: [{name: A, signal: networkTx, credit: {earn: 1M/s, capacity: %s}}]", "rules[0].credit.capacity", quantities},
		{"rules: [{name: A, signal: cpu, credit: {earn: 1, capacity: %s}}]", "rules[0].credit.capacity", durations},
		{"interval: %s", "interval", durations},
		{"ceiling: {hold: %s}", "ceiling.hold", durations},
		{"ceiling: {releaseAfter: %s}", "ceiling.releaseAfter", durations},
		{"ceiling: {probe: %s}", "ceiling.probe", durations},
		{"ceiling: {backoff: {max: %s}}", "ceiling.backoff.max", durations},
		{"evidence: {profile: %s}", "evidence.profile", durations},
		{"target: {metrics: {interval: %s}}", "target.metrics.interval", durations},
		{"rules: [{name: A, signal: cpu, threshold: 1, for: %s}]", "rules[0].for", durations},
		{"rules: [{name: A, signal: cpu, threshold: 1, for: 1h, window: %s}]", "rules[0].window", durations},
		{"rules: [{name: A, signal: cpu, threshold: 1, for: 1h, dip: %s}]", "rules[0].dip", shares},
		{"ceiling: {step: %s}", "ceiling.step", shares},
		{"ceiling: {backoff: {factor: %s}}", "ceiling.backoff.factor", shares},
		{"target: {metrics: {port: %s}}", "target.metrics.port", []string{"65536", "4294967376", "18446744073709551696", "-1", "1e3", ".nan"}},
	} {
		for _, value := range test.values {
			t.Run(test.field+"/"+value, func(t *testing.T) {
				document := fmt.Sprintf(test.document, value)

				_, err := config.Parse([]byte(document))
				require.ErrorContains(t, err, "line 1: invalid "+test.field+` "`, document)
				assert.ErrorContains(t, err, ": must be ")
			})
		}
	}
}

func TestParseCPU(t *testing.T) {
	for text, want := range map[string]int64{
		"500m": 500, "2": 2000, "0.5": 500, "1e3": 1_000_000, "": 0, "-1": 0, "0": 0, "5m": 0, "2000": 0, "1Gi": 0, "18446744073709552.116": 0, "1e4294967296": 0, "x": 0,
	} {
		t.Run(text, func(t *testing.T) {
			cpu, err := config.ParseCPU("--ceiling", text)
			assert.Equal(t, want, cpu.Millicores)

			if want == 0 {
				assert.ErrorContains(t, err, "invalid --ceiling")
			} else {
				assert.NoError(t, err)
			}
		})
	}
}
