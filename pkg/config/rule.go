// SPDX-License-Identifier: MPL-2.0

package config

import (
	"fmt"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// Rule says when a ceiling is due, in one of three ways: a signal's average over Window stays above
// Threshold for For; a signal uses up its Credit; or Expression stays true for For. With a Baseline it compares the signal with
// its own past and only reports.
type Rule struct {
	// Name in actions, alerts and metrics.
	Name string `yaml:"name"`
	// Signal that is compared: see the table of signals.
	Signal Signal `yaml:"signal,omitempty"`
	// Mode of this rule alone; empty for the document's. A rule in observe never leads to a ceiling.
	Mode Mode `yaml:"mode,omitempty"`
	// Threshold in the signal's unit: cores (400m), a rate (500k/s, 1G/min) or a share (50%).
	Threshold Threshold `yaml:"threshold,omitempty"`
	// Release is the value at or under which the rule is quiet again; 70 % of the threshold unless set.
	Release Threshold `yaml:"release,omitempty"`
	// For is how long the average must have been above the threshold.
	For Duration `yaml:"for,omitempty"`
	// Dip is the share of the time that may be under the threshold without For starting again:
	// For above it within For/(1-Dip).
	Dip Share `yaml:"dip,omitempty"`
	// Window of the average; 1m unless set.
	Window Duration `yaml:"window"`
	Credit Credit   `yaml:"credit,omitempty"`
	// Expression in CEL over the signals' averages, by their names: cpu > 0.4 && networkTx > 500000.0.
	Expression Expression `yaml:"expression,omitempty"`
	Baseline   Baseline   `yaml:"baseline,omitempty"`
}

// Credit is a token bucket. It earns at a steady rate what the signal may use in the long run, and its capacity is what
// a burst may use beyond that; the rule fires when it is empty.
type Credit struct {
	// Earn is the rate at which the bucket fills: cores, or bytes per second.
	Earn Threshold `yaml:"earn"`
	// Capacity of the bucket: CPU time (10m is 10 core-minutes), or bytes (2G).
	Capacity Amount `yaml:"capacity"`
}

// IsZero reports whether there is none.
func (c Credit) IsZero() bool { return c == Credit{} }

// defaultRelease is the share of the threshold at which a rule is quiet again.
const defaultRelease = 0.7

// threshold returns what the signal is compared with: the threshold, or what the credit earns. It is zero for an
// expression.
func (r Rule) threshold() Threshold {
	if !r.Credit.IsZero() {
		return r.Credit.Earn
	}

	return r.Threshold
}

// capacity returns the capacity of the credit in the signal's unit times seconds.
func (r Rule) capacity() float64 {
	if r.Signal.Unit() == policy.BytesPerSecond {
		return r.Credit.Capacity.Bytes
	}

	return r.Credit.Capacity.Duration.Seconds()
}

// signals returns what the rule reads.
func (r Rule) signals() []Signal {
	if r.Expression.compiled != nil {
		return r.Expression.Signals()
	}

	return []Signal{r.Signal}
}

// policy converts the rule.
func (r Rule) policy() policy.Rule {
	threshold := r.threshold()

	converted := policy.Rule{
		Name: r.Name, Signal: r.Signal, Mode: r.Mode, Threshold: threshold.Value, Release: defaultRelease * threshold.Value,
		For: r.For.Duration, Dip: r.Dip.Value, Window: r.Window.Duration, Text: threshold.String(),
	}

	if !r.Release.IsZero() {
		converted.Release = r.Release.Value
	}

	if !r.Credit.IsZero() {
		converted.Credit = policy.Credit{Capacity: r.capacity(), Text: r.Credit.Capacity.String()}
	}

	if !r.Expression.IsZero() {
		converted.Expression, converted.Text = r.Expression, r.Expression.String()
	}

	if !r.Baseline.IsZero() {
		converted.Baseline, converted.Mode = r.Baseline.policy(), ModeObserve
		converted.Text = fmt.Sprintf("%s times its usual level, at least %s", r.Baseline.Times, threshold)
	}

	return converted
}
