// SPDX-License-Identifier: MPL-2.0

package scrape

import (
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/spegel-guard/spegel-guard/internal/manifest"
)

// Object is a ScrapeConfig, the format of the Prometheus operator.
type Object struct {
	manifest.Head `json:",inline"`
	Spec          Spec `json:"spec"`
}

// Spec has the fields of a ScrapeConfig that are used. The package of the whole type needs modules that nothing else needs;
// test/schemas validates the object by the schema of the operator.
type Spec struct {
	Scheme      string                       `json:"scheme,omitempty"`
	TLS         *monitoringv1.SafeTLSConfig  `json:"tlsConfig,omitempty"`
	HonorLabels bool                         `json:"honorLabels"`
	Nodes       []Discovery                  `json:"kubernetesSDConfigs"`
	Relabelings []monitoringv1.RelabelConfig `json:"relabelings"`
}

// ScrapeConfig returns the endpoint as an object for the Prometheus operator. The secret is in the same namespace.
func (e Endpoint) ScrapeConfig(placement manifest.Placement) Object {
	spec := Spec{HonorLabels: true, Nodes: []Discovery{{Role: "Node"}}}

	if e.tls {
		spec.Scheme = "HTTPS"
		spec.TLS = &monitoringv1.SafeTLSConfig{
			CA: monitoringv1.SecretOrConfigMap{Secret: e.key(caKey)}, Cert: monitoringv1.SecretOrConfigMap{Secret: e.key(certKey)}, KeySecret: e.key(keyKey),
		}
	}

	for _, r := range e.relabelings() {
		rule := monitoringv1.RelabelConfig{Regex: r.regex, TargetLabel: r.target}
		if r.source != "" {
			rule.SourceLabels = []monitoringv1.LabelName{monitoringv1.LabelName(r.source)}
		}

		if r.replacement != "" {
			rule.Replacement = &r.replacement
		}

		spec.Relabelings = append(spec.Relabelings, rule)
	}

	return Object{Head: manifest.NewHead("monitoring.coreos.com/v1alpha1", "ScrapeConfig", placement), Spec: spec}
}

// key selects a key of the secret.
func (e Endpoint) key(key string) *corev1.SecretKeySelector {
	return &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: e.secret}, Key: key}
}
