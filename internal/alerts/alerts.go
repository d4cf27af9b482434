// SPDX-License-Identifier: MPL-2.0

// Package alerts writes Prometheus alerting rules for a configuration: an alert for each rule at its threshold, alerts on
// the guards themselves, and the rule that inhibits CPUThrottlingHigh while a ceiling is in force.
//
// The alerts on targets use the series of the kubelet's cAdvisor (container_*) and of spegel (go_*), with the labels of
// kube-prometheus.
package alerts

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// Names of the alerts on targets for the default rules.
const (
	HighCPU        = "SpegelHighCPU"
	HighTX         = "SpegelHighNetworkTX"
	HighAllocation = "SpegelHighMemoryAllocation"
)

// Names of the alerts on guards.
const (
	CeilingInForce = "SpegelGuardCeilingInForce"
	Flapping       = "SpegelGuardThrottlesAgain"
	Contained      = "SpegelGuardContained"
	Unavailable    = "SpegelGuardUnavailable"
	ApplyFailed    = "SpegelGuardApplyFailed"
	Conflict       = "SpegelGuardConflict"
	Stalled        = "SpegelGuardStalled"
)

// minRate is the shortest window of a rate: four scrapes of the kubelet at the usual 30 s.
const minRate = 2 * time.Minute

// Options select the series of the targets.
type Options struct {
	// Pods is a regular expression for the names of the pods. The series of cAdvisor have no other label of them.
	Pods string
}

// DefaultPods matches the pods of spegel's chart.
const DefaultPods = "spegel-.*"

// Unexpressed is a rule that cannot be written in PromQL, and the reason.
type Unexpressed struct {
	Rule, Reason string
}

// Groups returns the alerts for a configuration, and the rules without an alert.
func Groups(cfg config.Config, options Options) ([]monitoringv1.RuleGroup, []Unexpressed) {
	if options.Pods == "" {
		options.Pods = DefaultPods
	}

	targets := monitoringv1.RuleGroup{Name: "spegel"}

	var (
		unexpressed []Unexpressed
		allocation  bool
	)

	for _, rule := range cfg.Rules {
		expr, reason := expression(rule, cfg.Target, options)
		if reason != "" {
			unexpressed = append(unexpressed, Unexpressed{Rule: rule.Name, Reason: reason})

			continue
		}

		allocation = allocation || rule.Signal == config.SignalAllocation
		targets.Rules = append(targets.Rules, targetAlert(rule, expr))
	}

	// Allocation is worth an alert even if the document has no rule for it.
	if i := slices.IndexFunc(config.Default().Rules, func(r config.Rule) bool { return r.Name == HighAllocation }); !allocation && i >= 0 {
		rule := config.Default().Rules[i]
		expr, _ := expression(rule, cfg.Target, options)
		targets.Rules = append(targets.Rules, targetAlert(rule, expr))
	}

	return []monitoringv1.RuleGroup{targets, {Name: "spegel-guard", Rules: guards()}}, unexpressed
}

// expression returns a rule in PromQL, or the reason why it cannot be written.
func expression(rule config.Rule, target config.Target, options Options) (expr, reason string) {
	over := model.Duration(max(rule.Window.Duration, minRate)).String()

	matchers := []string{"pod=~" + strconv.Quote(options.Pods)}
	if target.Namespace != "" {
		matchers = append(matchers, "namespace="+strconv.Quote(target.Namespace))
	}

	container := append([]string{"container=" + strconv.Quote(target.Container)}, matchers...)
	links := append([]string{`interface!="lo"`}, matchers...)

	switch {
	case !rule.Expression.IsZero():
		return "", "it is an expression in CEL"
	case !rule.Baseline.IsZero():
		return "", "it compares the signal with its usual level, which only the guard knows"
	case !rule.Credit.IsZero():
		return "", "it has a CPU credit, whose level only the guard knows"
	}

	var series string

	switch rule.Signal {
	case config.SignalCPU:
		series = "container_cpu_usage_seconds_total{" + strings.Join(container, ", ") + "}"
	case config.SignalNetworkTX:
		series = "container_network_transmit_bytes_total{" + strings.Join(links, ", ") + "}"
	case config.SignalNetworkRX:
		series = "container_network_receive_bytes_total{" + strings.Join(links, ", ") + "}"
	case config.SignalAllocation:
		series = "go_memstats_alloc_bytes_total{" + strings.Join(container, ", ") + "}"
	default:
		return "", "every ceiling raises the signal " + string(rule.Signal)
	}

	threshold := rule.Threshold.Value
	if rule.Signal.Unit() == policy.BytesPerSecond {
		threshold = math.Round(threshold) // 1G/min is not an integer in bytes per second
	}

	return fmt.Sprintf("sum by (namespace, pod, node) (rate(%s[%s])) > %s", series, over, strconv.FormatFloat(threshold, 'f', -1, 64)), ""
}

func targetAlert(rule config.Rule, expr string) monitoringv1.Rule {
	what := map[config.Signal]string{
		config.SignalCPU:        "uses {{ $value | humanize }} cores",
		config.SignalNetworkTX:  "sends {{ $value | humanize }}B/s",
		config.SignalNetworkRX:  "receives {{ $value | humanize }}B/s",
		config.SignalAllocation: "allocates {{ $value | humanize }}B/s",
	}[rule.Signal]

	return alert(rule.Name, expr, rule.For.Duration, "warning",
		"{{ $labels.pod }} "+what+", above "+rule.Threshold.String(),
		"Spegel is peer-to-peer: one pod can raise the traffic of every node. `spegelguardctl compare` names the culprit and `spegelguardctl explain` shows the decisions of its guard.")
}

func alert(name, expr string, lasting time.Duration, severity, summary, description string) monitoringv1.Rule {
	rule := monitoringv1.Rule{
		Alert: name, Expr: intstr.FromString(expr), Labels: map[string]string{"severity": severity},
		Annotations: map[string]string{"summary": summary, "description": description},
	}

	if lasting > 0 {
		rule.For = new(monitoringv1.Duration(model.Duration(lasting).String()))
	}

	return rule
}
