// SPDX-License-Identifier: MPL-2.0

package config

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// bounds of a threshold in a unit, and of the capacity of a credit in the unit times seconds.
type bounds struct {
	low, high                 float64
	lowCapacity, highCapacity float64
	// allowed and capacity describe them.
	allowed, capacity string
}

const cpuTime = "a CPU time such as 10m (1s..24h)"

// unitBounds are the bounds of every unit of signals.
var unitBounds = map[policy.Unit]bounds{
	policy.Cores: {
		low: minCPU / 1e3, high: maxCPU / 1e3, allowed: "a number of cores such as 400m (10m..1024)",
		lowCapacity: 1, highCapacity: 86400, capacity: cpuTime,
	},
	policy.BytesPerSecond: {
		low: 1e3, high: 1e11, allowed: "a byte rate such as 500k/s (1k/s..100G/s)",
		lowCapacity: 1e3, highCapacity: 6e12, capacity: "an amount of bytes such as 2G (1k..6T)",
	},
	policy.Ratio: {
		low: 0.01, high: 1, allowed: "a share such as 50% (1%..100%)",
		lowCapacity: 1, highCapacity: 86400, capacity: "an amount of time such as 10m (1s..24h)",
	},
}

// MaxThreshold returns the highest threshold of a signal, in its unit.
func MaxThreshold(signal Signal) float64 { return unitBounds[signal.Unit()].high }

func (v *validator) rules(rules []Rule, interval time.Duration) {
	if len(rules) == 0 || len(rules) > maxRules {
		v.reject("rules", len(rules), fmt.Sprintf("a list of 1..%d rules", maxRules))
	}

	seen := map[string]bool{}

	for i, rule := range rules {
		field := "rules[" + strconv.Itoa(i) + "]."

		if !ruleName.MatchString(rule.Name) {
			v.reject(field+"name", rule.Name, "a name that matches "+ruleName.String())
		}

		if seen[rule.Name] {
			v.reject(field+"name", rule.Name, "unique among the rules")
		}

		seen[rule.Name] = true

		v.rule(field, rule, interval)
	}
}

// rule checks the one of the three ways that the rule is written in.
func (v *validator) rule(field string, rule Rule, interval time.Duration) {
	if rule.Mode != "" {
		oneOf(v, field+"mode", rule.Mode, ModeObserve, ModeEnforce)
	}

	v.duration(field+"window", rule.Window, max(time.Second, 2*interval), maxWindow)

	switch {
	case !rule.Expression.IsZero() || rule.Expression.invalid != "":
		v.expression(field, rule)
	case !rule.Credit.IsZero():
		oneOf(v, field+"signal", rule.Signal, policy.Signals()...)
		v.credit(field, rule)
	default:
		oneOf(v, field+"signal", rule.Signal, policy.Signals()...)
		v.threshold(field+"threshold", rule.Signal, rule.Threshold)
	}

	v.baseline(field, rule)

	if !rule.Release.IsZero() && rule.Baseline.IsZero() {
		v.threshold(field+"release", rule.Signal, rule.Release)

		if rule.Release.Value > rule.threshold().Value {
			v.reject(field+"release", rule.Release, "at most the threshold")
		}
	}

	v.duration(field+"for", rule.For, 0, maxFor)
	v.share(field+"dip", rule.Dip, 0, maxDip)

	// A smaller share is below the resolution of the time that `for` covers.
	if rule.Dip.Value > 0 && rule.Dip.Value < minDip {
		v.reject(field+"dip", rule.Dip, fmt.Sprintf("0 or a share of %v..%v", minDip, maxDip))
	}
}

func (v *validator) expression(field string, rule Rule) {
	if rule.Expression.invalid != "" || len(rule.Expression.text) > maxExpression {
		names := make([]string, 0, len(policy.Signals()))

		for _, signal := range policy.Signals() {
			names = append(names, string(signal))
		}

		v.reject(field+"expression", rule.Expression, "a condition in CEL over "+strings.Join(names, ", ")+" ("+rule.Expression.invalid+")")
	}

	v.unused(field+"signal", string(rule.Signal), "an expression")
	v.unused(field+"threshold", rule.Threshold.text+rule.Threshold.invalid, "an expression")
	v.unused(field+"release", rule.Release.text+rule.Release.invalid, "an expression")
	v.unused(field+"credit", rule.Credit.Earn.text+rule.Credit.Capacity.text, "an expression")
}

func (v *validator) credit(field string, rule Rule) {
	v.threshold(field+"credit.earn", rule.Signal, rule.Credit.Earn)
	v.unused(field+"threshold", rule.Threshold.text+rule.Threshold.invalid, "a credit")

	bounds, known := unitBounds[rule.Signal.Unit()]
	if capacity := rule.capacity(); known && !(capacity >= bounds.lowCapacity && capacity <= bounds.highCapacity) {
		v.reject(field+"credit.capacity", rule.Credit.Capacity, bounds.capacity)
	}

	if rule.For.Duration != 0 || rule.Dip.Value != 0 {
		v.reject(field+"for", rule.For, "empty beside a credit")
	}
}

// unused rejects a field that has no meaning beside another.
func (v *validator) unused(field, text, beside string) {
	if text != "" {
		v.reject(field, text, "empty beside "+beside)
	}
}

// threshold checks a threshold by the unit of its signal. An unknown signal is an error of its own.
func (v *validator) threshold(field string, signal Signal, t Threshold) {
	bounds, known := unitBounds[signal.Unit()]

	switch {
	case t.invalid != "":
		v.reject(field, t.invalid, cmp.Or(bounds.allowed, "a quantity in the unit of the signal"))
	case known && (t.Unit != signal.Unit() || !(t.Value >= bounds.low && t.Value <= bounds.high)):
		v.reject(field, t, bounds.allowed)
	}
}
