// SPDX-License-Identifier: MPL-2.0

package schemas

import (
	"path/filepath"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// monitoring builds what Flux and Argo CD apply.
func monitoring(t *testing.T) resmap.ResMap {
	t.Helper()

	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(gitops, "monitoring"))
	require.NoError(t, err)

	return built
}

func TestMonitoring_BuildsWithKustomize(t *testing.T) {
	kinds := map[string]string{}

	for _, resource := range monitoring(t).Resources() {
		kinds[resource.GetKind()] = resource.GetName()
		assert.Equal(t, "monitoring", resource.GetNamespace(), resource.GetName())
		assert.Equal(t, "kube-prometheus-stack", resource.GetLabels()["release"], resource.GetName())

		if resource.GetKind() == "ConfigMap" {
			assert.Equal(t, "1", resource.GetLabels()["grafana_dashboard"])
		}
	}

	assert.Equal(t, map[string]string{"PrometheusRule": "spegel-guard", "ScrapeConfig": "spegel-guard", "ConfigMap": "spegel-guard-dashboard"}, kinds)
}

// TestMonitoring_HasADashboardOfGrafana: the dashboard, its variables and each kind of panel match the schema of Grafana.
func TestMonitoring_HasADashboardOfGrafana(t *testing.T) {
	plugins.RegisterDefaultPlugins()

	for _, resource := range monitoring(t).Resources() {
		if resource.GetKind() != "ConfigMap" {
			continue
		}

		var found dashboard.Dashboard

		// Without an error it returns an empty list of errors, which is not nil.
		err := found.UnmarshalJSONStrict([]byte(resource.GetDataMap()["spegel-guard.json"]))
		require.Empty(t, err.Error())
		require.NoError(t, found.Validate())
		assert.Greater(t, len(found.Panels), 18)
	}
}
