// SPDX-License-Identifier: MPL-2.0

package dashboard

import "github.com/spegel-guard/spegel-guard/internal/manifest"

// ConfigMap is the dashboard as the sidecar of Grafana's chart reads it.
type ConfigMap struct {
	manifest.Head `json:",inline"`
	Data          map[string]string `json:"data"`
}

// NewConfigMap returns the dashboard with the label that the sidecar selects by default, unless the placement has another value.
func NewConfigMap(placement manifest.Placement) ConfigMap {
	head := manifest.NewHead("v1", "ConfigMap", placement)
	head.Metadata.Name += "-dashboard"

	if _, ok := head.Metadata.Labels["grafana_dashboard"]; !ok {
		head.Metadata.Labels["grafana_dashboard"] = "1"
	}

	return ConfigMap{Head: head, Data: map[string]string{"spegel-guard.json": string(JSON)}}
}
