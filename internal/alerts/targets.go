// SPDX-License-Identifier: MPL-2.0

package alerts

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// minRate is the shortest window of a rate: four scrapes of the kubelet at the usual 30 s.
const minRate = 2 * time.Minute

// targetAlerts returns an alert for each rule that can be written in PromQL, and the other rules.
func targetAlerts(cfg config.Config, options Options) ([]alert, []Unexpressed) {
	var (
		alerts      []alert
		unexpressed []Unexpressed
		allocation  bool
	)

	add := func(rule config.Rule) {
		expr, reason := expression(rule, cfg.Target, options)
		if reason != "" {
			unexpressed = append(unexpressed, Unexpressed{Rule: rule.Name, Reason: reason})

			return
		}

		allocation = allocation || rule.Signal == config.SignalAllocation
		alerts = append(alerts, targetAlert(rule, expr))
	}

	for _, rule := range cfg.Rules {
		add(rule)
	}

	// Allocation is worth an alert even if the document has no rule for it.
	for _, rule := range config.Default().Rules {
		if rule.Signal == config.SignalAllocation && !allocation {
			add(rule)
		}
	}

	return alerts, unexpressed
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
		return "", "it has a credit, whose level only the guard knows"
	}

	var selector string

	switch rule.Signal {
	case config.SignalCPU:
		selector = "container_cpu_usage_seconds_total{" + strings.Join(container, ", ") + "}"
	case config.SignalNetworkTX:
		selector = "container_network_transmit_bytes_total{" + strings.Join(links, ", ") + "}"
	case config.SignalNetworkRX:
		selector = "container_network_receive_bytes_total{" + strings.Join(links, ", ") + "}"
	case config.SignalAllocation:
		selector = "go_memstats_alloc_bytes_total{" + strings.Join(container, ", ") + "}"
	default:
		return "", "every ceiling raises the signal " + string(rule.Signal)
	}

	threshold := rule.Threshold.Value
	if rule.Signal.Unit() == policy.BytesPerSecond {
		threshold = math.Round(threshold) // 1G/min is not an integer in bytes per second
	}

	return fmt.Sprintf("sum by (cluster, namespace, pod, node) (rate(%s[%s])) > %s", selector, over, strconv.FormatFloat(threshold, 'f', -1, 64)), ""
}

// targetAlert returns the alert for a rule. Its name is the rule's, so that the section of the runbook is that of the signal.
func targetAlert(rule config.Rule, expr string) alert {
	words := map[config.Signal]struct{ summary, value, section string }{
		config.SignalCPU:        {"Spegel uses more CPU than its rule allows.", "uses {{ $value | humanize }} cores", HighCPU},
		config.SignalNetworkTX:  {"Spegel sends more than its rule allows.", "sends {{ $value | humanize }}B/s", HighTX},
		config.SignalNetworkRX:  {"Spegel receives more than its rule allows.", "receives {{ $value | humanize }}B/s", HighRX},
		config.SignalAllocation: {"Spegel allocates more memory than its rule allows.", "allocates {{ $value | humanize }}B/s", HighAllocation},
	}[rule.Signal]

	return alert{
		name: rule.Name, expr: expr, severity: warning, lasting: rule.For.Duration, section: words.section, summary: words.summary,
		description: "Pod {{ $labels.namespace }}/{{ $labels.pod }} " + words.value + ", above " + rule.Threshold.String() +
			". Spegel is peer-to-peer: one pod can raise the traffic of every node. `spegelguardctl compare` names the culprit and `spegelguardctl explain` shows the decisions of its guard.",
	}
}
