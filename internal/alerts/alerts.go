// SPDX-License-Identifier: MPL-2.0

// Package alerts writes Prometheus alerting rules for a configuration: an alert for each rule at its threshold, alerts on
// the guards themselves, and the rule that inhibits CPUThrottlingHigh while a ceiling is in force.
//
// The alerts on targets use the series of the kubelet's cAdvisor (container_*) and of spegel (go_*), with the labels of
// kube-prometheus. Results keep the label cluster, which a ruler over several clusters has and one cluster has not.
//
// The summary of an alert is static, so that notifications of many nodes can be grouped; its description has the values.
package alerts

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/spegel-guard/spegel-guard/internal/series"
	"github.com/spegel-guard/spegel-guard/pkg/config"
)

// Names of the alerts on targets for the default rules, and of the sections about alerts on their signals.
const (
	HighCPU        = "SpegelHighCPU"
	HighTX         = "SpegelHighNetworkTX"
	HighRX         = "SpegelHighNetworkRX"
	HighAllocation = "SpegelHighMemoryAllocation"
)

// Names of the alerts on guards.
const (
	Down           = "SpegelGuardDown"
	CeilingInForce = "SpegelGuardCeilingInForce"
	Flapping       = "SpegelGuardThrottlesAgain"
	Contained      = "SpegelGuardContained"
	Unavailable    = "SpegelGuardUnavailable"
	ApplyFailed    = "SpegelGuardApplyFailed"
	Conflict       = "SpegelGuardConflict"
	Stalled        = "SpegelGuardStalled"
)

// Severities of kube-prometheus. There is no info: its InfoInhibitor mutes such an alert unless another one fires in the
// same namespace, so that a ceiling alone would never be reported.
const (
	warning  = "warning"
	critical = "critical"
)

// Options select the series, and where the runbooks are.
type Options struct {
	// Pods is a regular expression for the names of the pods. The series of cAdvisor have no other label of them.
	Pods string
	// Job is the label job of the guards' series.
	Job string
	// RunbookBase is the address of docs/operations.md, to which the section of an alert is added. Without it the alerts have
	// no runbook_url.
	RunbookBase string
}

// DefaultOptions select the pods of spegel's chart and the job of internal/scrape.
func DefaultOptions() Options {
	return Options{
		Pods: "spegel-.*", Job: series.Job, RunbookBase: "https://github.com/spegel-guard/spegel-guard/blob/main/docs/operations.md",
	}
}

// Validate returns an error that names the flag.
func (o Options) Validate() error {
	if o.RunbookBase == "" {
		return nil
	}

	if base, err := url.Parse(o.RunbookBase); err != nil || base.Host == "" || base.Fragment != "" {
		return fmt.Errorf("invalid --runbook-base %q: must be an absolute URL without a fragment, such as https://wiki.example.org/operations", o.RunbookBase)
	}

	return nil
}

// Unexpressed is a rule or an alert that cannot be written in PromQL, and the reason.
type Unexpressed struct {
	Rule, Reason string
}

// Groups returns the alerts for a configuration, and the rules without an alert.
func Groups(cfg config.Config, options Options) ([]monitoringv1.RuleGroup, []Unexpressed) {
	targets, unexpressed := targetAlerts(cfg, options)
	guards := guardAlerts(cfg, options)

	// Its series would be absent for ever.
	if cfg.Metrics.Listen == "" {
		guards = slices.DeleteFunc(guards, func(a alert) bool { return a.name == Down })
		unexpressed = append(unexpressed, Unexpressed{Rule: Down, Reason: "metrics.listen is not set; the other alerts on guards never fire"})
	}

	return []monitoringv1.RuleGroup{
		{Name: "spegel", Rules: options.rules(targets)},
		{Name: "spegel-guard", Rules: options.rules(guards)},
	}, unexpressed
}

// alert is an alerting rule.
type alert struct {
	name, expr, severity string
	// lasting is how long the expression must be true, and keep how long the alert goes on afterwards.
	lasting, keep time.Duration
	// summary is static, description has the values.
	summary, description string
	// section of docs/operations.md, the name of an alert; empty is its own name.
	section string
}

// rules returns alerts in the format of Prometheus.
func (o Options) rules(alerts []alert) []monitoringv1.Rule {
	rules := make([]monitoringv1.Rule, 0, len(alerts))

	for _, a := range alerts {
		rule := monitoringv1.Rule{
			Alert: a.name, Expr: intstr.FromString(a.expr), Labels: map[string]string{"severity": a.severity},
			Annotations: map[string]string{"summary": a.summary, "description": a.description},
		}

		if a.lasting > 0 {
			rule.For = new(monitoringv1.Duration(model.Duration(a.lasting).String()))
		}

		if a.keep > 0 {
			rule.KeepFiringFor = new(monitoringv1.NonEmptyDuration(model.Duration(a.keep).String()))
		}

		if o.RunbookBase != "" {
			// The anchor of a heading on GitHub.
			rule.Annotations["runbook_url"] = o.RunbookBase + "#" + strings.ToLower(cmp.Or(a.section, a.name))
		}

		rules = append(rules, rule)
	}

	return rules
}
