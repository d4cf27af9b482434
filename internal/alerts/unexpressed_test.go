// SPDX-License-Identifier: MPL-2.0

package alerts_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/alerts"
	"github.com/spegel-guard/spegel-guard/pkg/config"
)

// TestGroups_NamesRulesWithoutAnAlert, each with its reason.
func TestGroups_NamesRulesWithoutAnAlert(t *testing.T) {
	cfg, err := config.Parse([]byte(`metrics: {listen: ":9470"}
rules:
  - {name: Threshold, signal: cpu, threshold: 400m}
  - {name: Expression, expression: cpu > 0.4}
  - {name: Credit, signal: cpu, credit: {earn: 400m, capacity: 10m}}
  - {name: Baseline, signal: networkTx, threshold: 100k/s, baseline: {times: 3}}
  - {name: Throttled, signal: throttled, threshold: 50%}
`))
	require.NoError(t, err)

	_, unexpressed := alerts.Groups(cfg, alerts.Options{})
	assert.Equal(t, []alerts.Unexpressed{
		{Rule: "Expression", Reason: "it is an expression in CEL"},
		{Rule: "Credit", Reason: "it has a credit, whose level only the guard knows"},
		{Rule: "Baseline", Reason: "it compares the signal with its usual level, which only the guard knows"},
		{Rule: "Throttled", Reason: "every ceiling raises the signal throttled"},
	}, unexpressed)
}
