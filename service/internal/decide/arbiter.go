// SPDX-License-Identifier: MPL-2.0

package decide

import (
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// RuleOverride stands in the place of a rule's name for a ceiling that a person instructed. No rule can have it.
const RuleOverride = "override"

// Settings are the parts of the configuration that the arbiter applies.
type Settings struct {
	// Observe: the mode is observe, nothing is written.
	Observe bool
	// FloorMillicores is ceiling.floor in thousandths of a core.
	FloorMillicores int64
	// Yield: ceiling.conflict is yield.
	Yield bool
	// Wall converts CLOCK_BOOTTIME to the time of day, for texts.
	Wall func(time.Duration) time.Time
}

// Case is everything that asks for a ceiling on one workload, or against one.
type Case struct {
	// Decision of the rules, and the reason of its hold.
	Decision policy.Decision
	Reason   string
	// Released says why the last ceiling ended; empty when there was none.
	Released string
	Override Override
	// YieldedSince is the Since of the hold that yielded to an external change; 0 for none.
	YieldedSince time.Duration
}

// Arbitrate returns the ceiling that should be in force. It is the only place that knows precedence:
//
//  1. A pause or a release suspends every ceiling.
//  2. Of a rule's hold and a throttle the lower one is desired. A hold that probes or only observes does not count
//     beside a throttle.
//  3. The mode observe, of the document or of the rule, keeps it from being written.
//
// The owner's limit is applied where it is read, by package enforce: a ceiling is never above it.
func Arbitrate(c Case, s Settings) DesiredCeiling {
	desired := DesiredCeiling{FloorMillicores: s.FloorMillicores, Yield: s.Yield, YieldedSince: c.YieldedSince, Observe: s.Observe}
	hold := c.Decision.Hold

	switch {
	case c.Override.Suspends():
		desired.Rule, desired.Reason = RuleOverride, c.Override.Text
	case c.Override.Kind == Throttle && (!c.Decision.Held || !hold.Enforced() || c.Override.Millicores < hold.Millicores):
		desired.Millicores, desired.Rule, desired.Reason = c.Override.Millicores, RuleOverride, c.Override.Text
		desired.Since, desired.Until = c.Override.Since, c.Override.Until
	case c.Decision.Held:
		desired.Millicores, desired.Rule, desired.Reason = hold.Millicores, hold.Rule, c.Reason
		desired.Since, desired.Until, desired.Probing = hold.Since, hold.Until, hold.Probing
		desired.Observe = s.Observe || hold.Observe
	default:
		desired.Reason = c.Released
	}

	return desired
}
