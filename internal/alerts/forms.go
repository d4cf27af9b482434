// SPDX-License-Identifier: MPL-2.0

package alerts

import (
	"fmt"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// RuleFile is the format of rule_files of Prometheus.
type RuleFile struct {
	Groups []monitoringv1.RuleGroup `json:"groups"`
}

// PrometheusRule is the format of the Prometheus operator.
type PrometheusRule struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        Metadata `json:"metadata"`
	Spec            RuleFile `json:"spec"`
}

// Metadata is the part of a Kubernetes object's metadata that people write.
type Metadata struct {
	Name      string            `json:"name"`
	Namespace string            `json:"namespace,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
}

// NewPrometheusRule returns groups as an object for the Prometheus operator.
func NewPrometheusRule(namespace string, groups []monitoringv1.RuleGroup) PrometheusRule {
	return PrometheusRule{
		TypeMeta: metav1.TypeMeta{APIVersion: monitoringv1.SchemeGroupVersion.String(), Kind: monitoringv1.PrometheusRuleKind},
		Metadata: Metadata{Name: "spegel-guard", Namespace: namespace, Labels: map[string]string{"app.kubernetes.io/name": "spegel-guard"}},
		Spec:     RuleFile{Groups: groups},
	}
}

// Inhibition is the part of Alertmanager's configuration with inhibit rules.
type Inhibition struct {
	Rules []InhibitRule `json:"inhibit_rules"`
}

// InhibitRule mutes the target alerts while a source alert fires with equal labels.
type InhibitRule struct {
	Sources []string `json:"source_matchers"`
	Targets []string `json:"target_matchers"`
	Equal   []string `json:"equal"`
}

// Inhibit returns the rule that mutes CPUThrottlingHigh (kubernetes-mixin) for containers with a ceiling in force.
func Inhibit() Inhibition {
	return Inhibition{Rules: []InhibitRule{{
		Sources: []string{fmt.Sprintf("alertname=%q", CeilingInForce)},
		Targets: []string{`alertname="CPUThrottlingHigh"`},
		Equal:   []string{"namespace", "pod", "container"},
	}}}
}

// YAML returns any of the formats as YAML.
func YAML(form any) ([]byte, error) {
	text, err := yaml.Marshal(form)
	if err != nil {
		return nil, fmt.Errorf("failed to write the rules: %w", err)
	}

	return text, nil
}
