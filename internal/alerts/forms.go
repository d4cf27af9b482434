// SPDX-License-Identifier: MPL-2.0

package alerts

import (
	"fmt"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"

	"github.com/spegel-guard/spegel-guard/internal/manifest"
)

// RuleFile is the format of rule_files of Prometheus.
type RuleFile struct {
	Groups []monitoringv1.RuleGroup `json:"groups"`
}

// PrometheusRule is the format of the Prometheus operator.
type PrometheusRule struct {
	manifest.Head `json:",inline"`
	Spec          RuleFile `json:"spec"`
}

// NewPrometheusRule returns groups as an object for the Prometheus operator.
func NewPrometheusRule(placement manifest.Placement, groups []monitoringv1.RuleGroup) PrometheusRule {
	return PrometheusRule{
		Head: manifest.NewHead(monitoringv1.SchemeGroupVersion.String(), monitoringv1.PrometheusRuleKind, placement),
		Spec: RuleFile{Groups: groups},
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
		// Alertmanager takes a label that both alerts lack as equal: one cluster has no label cluster.
		Equal: []string{"cluster", "namespace", "pod", "container"},
	}}}
}
