// SPDX-License-Identifier: MPL-2.0

// Package gitops_test checks what the examples take from this project. test/schemas validates their form.
package gitops_test

import (
	"os"
	"path/filepath"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/spegel-guard/spegel-guard/extension"
	"github.com/spegel-guard/spegel-guard/pkg/config"
)

func document(t *testing.T) config.Config {
	t.Helper()

	provider, err := configloader.NewFromFile("talos/spegel-guard.yaml")
	require.NoError(t, err)
	require.Len(t, provider.ExtensionServiceConfigs(), 1)

	service := provider.ExtensionServiceConfigs()[0]
	require.Equal(t, extension.Name, service.Name())
	require.Equal(t, config.Path, service.ConfigFiles()[0].MountPath())

	cfg, err := config.Parse([]byte(service.ConfigFiles()[0].Content()))
	require.NoError(t, err)

	return cfg
}

func TestPatch_IsADocument(t *testing.T) {
	cfg := document(t)

	assert.Equal(t, config.ModeObserve, cfg.Mode)
	assert.Equal(t, config.Default().Rules, cfg.Rules)
}

// TestPatch_IsUsed: talhelper and Omni read the patch from the path in their files.
func TestPatch_IsUsed(t *testing.T) {
	for folder, path := range map[string]string{"talhelper/talconfig.yaml": `"@../talos/spegel-guard.yaml"`, "omni/cluster.yaml": "file: ../talos/spegel-guard.yaml"} {
		text, err := os.ReadFile(folder)
		require.NoError(t, err)
		assert.Contains(t, string(text), path, folder)
		assert.FileExists(t, filepath.Join(filepath.Dir(folder), "../talos/spegel-guard.yaml"))
	}
}

func TestScrapeConfig_NamesThePortOfTheDocument(t *testing.T) {
	text, err := os.ReadFile("monitoring/scrapeconfig.yaml")
	require.NoError(t, err)

	var scrape struct {
		Spec struct {
			Relabelings []struct{ Replacement string }
		}
	}

	require.NoError(t, yaml.Unmarshal(text, &scrape))
	require.NotEmpty(t, scrape.Spec.Relabelings)
	assert.Equal(t, "$1"+document(t).Metrics.Listen, scrape.Spec.Relabelings[0].Replacement)
}

// TestRules_AreThoseOfTheDocument: make check compares the file with the output of spegelguardctl rules.
func TestRules_AreThoseOfTheDocument(t *testing.T) {
	text, err := os.ReadFile("monitoring/rules.yaml")
	require.NoError(t, err)

	var rules monitoringv1.PrometheusRule
	require.NoError(t, yaml.UnmarshalStrict(text, &rules))
	assert.Equal(t, "monitoring", rules.Namespace)

	found := map[string]bool{}

	for _, group := range rules.Spec.Groups {
		for _, rule := range group.Rules {
			found[rule.Alert] = true
		}
	}

	for _, rule := range document(t).Rules {
		if rule.Credit.Earn.Value == 0 && rule.Threshold.Value > 0 {
			assert.True(t, found[rule.Name], rule.Name)
		}
	}
}
