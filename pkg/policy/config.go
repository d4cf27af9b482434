// SPDX-License-Identifier: MPL-2.0

package policy

import "time"

// Mode says whether ceilings are written.
type Mode string

// Modes.
const (
	// ModeObserve decides and reports, and writes nothing.
	ModeObserve Mode = "observe"
	// ModeEnforce writes ceilings.
	ModeEnforce Mode = "enforce"
)

// Strategy says how a ceiling is chosen.
type Strategy string

// Strategies.
const (
	// StrategyFixed keeps the configured ceiling.
	StrategyFixed Strategy = "fixed"
	// StrategyAdaptive starts there and steps down while a rule about a byte rate stays above its threshold.
	StrategyAdaptive Strategy = "adaptive"
)

// Config is what an engine decides by. It must have at least one rule.
type Config struct {
	Mode    Mode
	Rules   []Rule
	Ceiling Ceiling
}

// Rule says when a ceiling is due, in one of three ways: the average of Signal over Window stays above Threshold
// for For; the signal uses up its Credit; or Expression stays true for For. A rule with a Baseline is a fourth way, and reports only.
type Rule struct {
	Name string
	// Signal that is compared; empty for an expression.
	Signal Signal
	// Mode of this rule alone; empty for the configuration's.
	Mode Mode
	// Threshold in the signal's unit: a rule with credit earns as much, an expression has 0.
	Threshold float64
	// Release is the value at or under which the rule is quiet again.
	Release float64
	// For is how long the average must have been above the threshold, and Dip the share of that time, 0..0.5, that
	// may be under it in between.
	For time.Duration
	Dip float64
	// Window of the average.
	Window time.Duration
	// Credit is the token bucket; its capacity is 0 for none.
	Credit Credit
	// Expression is nil for none.
	Expression Expression
	// Baseline makes the usual level of the signal part of the threshold.
	Baseline Baseline
	// Text is what the rule compares with as it was written: the threshold, what the credit earns, or the expression.
	Text string
}

// Enforced reports whether the rule may lead to a ceiling under the configuration's mode. One with a baseline never does.
func (r *Rule) Enforced(mode Mode) bool {
	return mode != ModeObserve && r.Mode != ModeObserve && !r.Baseline.Enabled()
}

// Baseline compares a signal with its own past: the rule fires above Times the usual level, and not below its Threshold.
type Baseline struct {
	// Times the usual level; 0 for no baseline.
	Times float64
	// Learn is how many hours must count before the rule can fire.
	Learn time.Duration
}

// Enabled reports whether there is one.
func (b Baseline) Enabled() bool { return b.Times > 0 }

// Credit is a token bucket that a rule's signal empties.
type Credit struct {
	// Capacity in the signal's unit times seconds: core-seconds or bytes.
	Capacity float64
	// Text of the capacity as it was written.
	Text string
}

// Expression is a condition over the averages of signals.
type Expression interface {
	// Eval evaluates the condition with the given averages.
	Eval(average func(Signal) float64) (bool, error)
	// Signals returns the signals that the condition reads, at least one.
	Signals() []Signal
	// String returns the condition as it was written.
	String() string
}

// Ceiling is what a tripped rule leads to.
type Ceiling struct {
	// Millicores of the ceiling, and Floor, the lowest one in millicores.
	Millicores, Floor int64
	Strategy          Strategy
	// Step is the share of the ceiling that one step of the adaptive strategy leaves.
	Step float64
	// Hold is the minimum time of a ceiling, ReleaseAfter how long every rule must be quiet before a release, and
	// Probe how long a probe lasts; 0 never probes.
	Hold, ReleaseAfter, Probe time.Duration
	Backoff                   Backoff
}

// top returns the highest ceiling that has an effect in millicores: the configured one, or the owner's limit
// (cores, 0 for none).
func (c *Ceiling) top(owner float64) int64 {
	top := c.Millicores

	if owner > 0 {
		top = min(top, int64(owner*1000))
	}

	return max(top, c.Floor)
}

// Backoff of the hold: each trip multiplies the next hold by Factor, up to Max; each Max without a trip removes
// one factor.
type Backoff struct {
	Factor float64
	Max    time.Duration
}
