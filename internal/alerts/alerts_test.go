// SPDX-License-Identifier: MPL-2.0

package alerts_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/alerts"
	"github.com/spegel-guard/spegel-guard/pkg/config"
)

// TestGroups_HaveAnnotationsOfKubePrometheus: static summaries, values in the description, and a runbook.
func TestGroups_HaveAnnotationsOfKubePrometheus(t *testing.T) {
	cfg, err := config.Parse([]byte(everySignal))
	require.NoError(t, err)

	options := alerts.DefaultOptions()
	options.RunbookBase = "https://wiki.example.org/guard"

	groups, unexpressed := alerts.Groups(cfg, options)
	assert.Empty(t, unexpressed)
	require.Len(t, byName(groups), len(groups[0].Rules)+len(groups[1].Rules), "names are unique")

	for name, rule := range byName(groups) {
		t.Run(name, func(t *testing.T) {
			assert.NotContains(t, rule.Annotations["summary"], "{{")
			assert.True(t, strings.HasSuffix(rule.Annotations["summary"], "."))
			assert.Contains(t, rule.Annotations["description"], "{{ ")
			assert.Equal(t, "https://wiki.example.org/guard#"+strings.ToLower(name), rule.Annotations["runbook_url"])

			// InfoInhibitor of kube-prometheus mutes alerts with the severity info.
			assert.Contains(t, []string{"warning", "critical"}, rule.Labels["severity"])
		})
	}
}

func TestGroups_NameTheRunbookOfTheSignal(t *testing.T) {
	cfg, err := config.Parse([]byte("rules: [{name: Mine, signal: networkRx, threshold: 1M/s}]"))
	require.NoError(t, err)

	groups, _ := alerts.Groups(cfg, alerts.DefaultOptions())
	assert.True(t, strings.HasSuffix(byName(groups)["Mine"].Annotations["runbook_url"], "/docs/operations.md#spegelhighnetworkrx"))

	groups, _ = alerts.Groups(cfg, alerts.Options{})
	assert.NotContains(t, byName(groups)["Mine"].Annotations, "runbook_url")
}

// TestGroups_LeaveOutTheAlertOnScrapesWithoutMetrics: it would fire for ever.
func TestGroups_LeaveOutTheAlertOnScrapesWithoutMetrics(t *testing.T) {
	groups, unexpressed := alerts.Groups(config.Default(), alerts.DefaultOptions())
	assert.NotContains(t, byName(groups), alerts.Down)
	assert.Contains(t, unexpressed, alerts.Unexpressed{Rule: alerts.Down, Reason: "metrics.listen is not set; the other alerts on guards never fire"})
}

// TestGroups_LeadWithAllocation: by minutes, in the default rules and with a document that has no rule for it.
func TestGroups_LeadWithAllocation(t *testing.T) {
	for _, document := range []string{"mode: enforce", "rules: [{name: Mine, signal: cpu, threshold: 1, for: 5m}]"} {
		cfg, err := config.Parse([]byte(document))
		require.NoError(t, err)

		groups, _ := alerts.Groups(cfg, alerts.DefaultOptions())
		rule := byName(groups)[alerts.HighAllocation]
		require.NotNil(t, rule.For, document)
		assert.Equal(t, "1m", string(*rule.For), document)
	}
}

func TestOptions_Validate(t *testing.T) {
	for base, valid := range map[string]bool{
		"": true, "https://wiki.example.org/operations": true, "wiki": false, "https://wiki.example.org/operations#alerts": false, "https://": false,
	} {
		t.Run(base, func(t *testing.T) {
			err := alerts.Options{RunbookBase: base}.Validate()
			if valid {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, "invalid --runbook-base")
			}
		})
	}
}
