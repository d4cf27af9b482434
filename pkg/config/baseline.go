// SPDX-License-Identifier: MPL-2.0

package config

import (
	"cmp"
	"fmt"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// defaultLearn is how much of a signal's past a baseline needs.
const defaultLearn = 24 * time.Hour

// Bounds of a baseline. Less than 1.5 times is within what a signal varies by from hour to hour. More than 5 of the 7 days that
// are kept could not be learned, because hours can be missing.
const (
	minTimes, maxTimes = 1.5, 100
	minLearn, maxLearn = time.Hour, 5 * 24 * time.Hour
)

// Baseline compares the signal with its usual level: the median of the last 7 days' hours, of which each is the median of its
// minutes. The rule fires above Times the usual level, and never below its threshold. It is in mode observe. Hours with a ceiling
// in force or with a rule that fires do not count.
type Baseline struct {
	// Times the usual level.
	Times Share `yaml:"times"`
	// Learn is how many hours must count before the rule can fire; 24h unless set.
	Learn Duration `yaml:"learn"`

	// written is set when the document has it, even if it is empty.
	written bool
}

// IsZero reports whether there is none.
func (b Baseline) IsZero() bool { return b == Baseline{} }

// UnmarshalYAML implements yaml.Unmarshaler.
func (b *Baseline) UnmarshalYAML(node *yaml.Node) error {
	type plain Baseline

	*b = Baseline{Learn: Duration{Duration: defaultLearn}, written: true}

	return node.Decode((*plain)(b))
}

// baseline checks a baseline, which stands beside a threshold only.
func (v *validator) baseline(field string, rule Rule) {
	switch {
	case rule.Baseline.IsZero():
		return
	case !rule.Expression.IsZero() || rule.Expression.invalid != "":
		v.reject(field+"baseline", rule.Baseline.Times, "empty beside an expression")

		return
	case !rule.Credit.IsZero():
		v.reject(field+"baseline", rule.Baseline.Times, "empty beside a credit")

		return
	}

	if times := rule.Baseline.Times; times.invalid != "" || !(times.Value >= minTimes && times.Value <= maxTimes) {
		v.reject(field+"baseline.times", cmp.Or(times.invalid, times.String()), fmt.Sprintf("a number of %v..%v", minTimes, maxTimes))
	}

	v.duration(field+"baseline.learn", rule.Baseline.Learn, minLearn, maxLearn)
	v.unused(field+"release", rule.Release.text+rule.Release.invalid, "a baseline, where it is 70 % of the threshold in force")

	if rule.Mode == ModeEnforce {
		v.reject(field+"mode", rule.Mode, "observe or empty beside a baseline: write a threshold to enforce")
	}
}

// policy converts the baseline.
func (b Baseline) policy() policy.Baseline {
	return policy.Baseline{Times: b.Times.Value, Learn: b.Learn.Duration}
}
