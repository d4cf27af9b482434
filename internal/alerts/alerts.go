// Package alerts writes Prometheus alerting rules for a guard's configuration: the incident's three alerts at
// the thresholds in force, alerts on the guards themselves, and the rule that keeps CPUThrottlingHigh quiet while
// it is the guard that throttles.
//
// The targets' series are those of the kubelet's cAdvisor (container_*) and of spegel's own /metrics (go_*), with
// the labels that kube-prometheus gives them; the guards' are their own.
package alerts

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// Names of the incident's alerts.
const (
	HighCPU        = "SpegelHighCPU"
	HighTX         = "SpegelHighNetworkTX"
	HighAllocation = "SpegelHighMemoryAllocation"
)

// Names of the alerts on guards.
const (
	CeilingInForce = "SpegelGuardCeilingInForce"
	Flapping       = "SpegelGuardThrottlesAgain"
	Unavailable    = "SpegelGuardUnavailable"
	ApplyFailed    = "SpegelGuardApplyFailed"
	Conflict       = "SpegelGuardConflict"
	Stalled        = "SpegelGuardStalled"
)

// minRate is the least time that a rate is taken over: four scrapes of the kubelet at the usual 30 s.
const minRate = 2 * time.Minute

// Options say which series are the targets'.
type Options struct {
	// Pods is a regular expression of the pods' names, which is all that cAdvisor's series know of them.
	Pods string
}

// DefaultPods are those of spegel's chart.
const DefaultPods = "spegel-.*"

// Unexpressed is a rule that has no form in PromQL, and why.
type Unexpressed struct {
	Rule, Reason string
}

// Groups are the alerts for a configuration.
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

	// An alert costs its victims nothing, unlike a ceiling: the incident's third is there in any case.
	if !allocation {
		rule := config.Rule{
			Name: HighAllocation, Signal: config.SignalAllocation, Threshold: config.MustThreshold("1G/min"),
			For: config.Duration{Duration: 10 * time.Minute},
		}

		expr, _ := expression(rule, cfg.Target, options)
		targets.Rules = append(targets.Rules, targetAlert(rule, expr))
	}

	return []monitoringv1.RuleGroup{targets, {Name: "spegel-guard", Rules: guards()}}, unexpressed
}

// expression of a rule, or why it has none.
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
		return "", "an expression in CEL"
	case !rule.Credit.IsZero():
		return "", "a credit: what is left of it only the guard knows"
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
		return "", "the signal " + string(rule.Signal) + " is true of every ceiling"
	}

	limit := rule.Threshold.Value
	if rule.Signal.Unit() == policy.BytesPerSecond {
		limit = math.Round(limit) // 1G/min is no whole number of bytes a second
	}

	return fmt.Sprintf("sum by (namespace, pod, node) (rate(%s[%s])) > %s", series, over, strconv.FormatFloat(limit, 'f', -1, 64)), ""
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
		"Spegel is peer-to-peer: one pod that runs away raises the traffic of every node. `spegelguardctl compare` names it, and `spegelguardctl explain` says what its guard does.")
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
