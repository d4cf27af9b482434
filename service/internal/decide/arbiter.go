// SPDX-License-Identifier: MPL-2.0

package decide

import (
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// RuleOverride is the rule of a ceiling that an override asks for. No rule of a document can have this name.
const RuleOverride = "override"

// noRequest is the reason while nothing has asked for a ceiling since the service started.
const noRequest = "no rule asks for a ceiling"

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
	// Now is the time of the newest sample on CLOCK_BOOTTIME.
	Now time.Duration
	// Decision of the rules, and the reason of its hold.
	Decision *policy.Decision
	Reason   string
	// Released says why the last ceiling ended; empty when there was none.
	Released  string
	Overrides Overrides
	// YieldedSince is the Since of the hold that yielded to an external change; 0 for none.
	YieldedSince time.Duration
}

// Arbitrate returns the ceiling that should be in force, why, and what prevents its release. Together with
// Overrides.Prevailing it is the only place that knows precedence:
//
//  1. A pause of the node precedes the target's own override.
//  2. A pause or a release suspends every ceiling.
//  3. Of a rule's hold and a throttle the lower one is desired. A hold that probes, only observes, or has yielded to
//     an external change does not count beside a throttle.
//  4. The mode observe, of the document or of the rule, keeps the ceiling from being written.
//
// The owner's limit is applied where it is read, by package enforce: a ceiling is never above it.
func Arbitrate(c *Case, s *Settings) DesiredCeiling {
	desired := DesiredCeiling{FloorMillicores: s.FloorMillicores, Yield: s.Yield, YieldedSince: c.YieldedSince, Observe: s.Observe}
	hold, override := &c.Decision.Hold, c.Overrides.Prevailing()
	yielded := s.Yield && hold.Since == c.YieldedSince

	switch {
	case override.Suspends():
		desired.Rule, desired.Reason = RuleOverride, override.Text

		return desired
	case override.Kind == Throttle && (!c.Decision.Held || !hold.Enforced() || yielded || override.Millicores < hold.Millicores):
		desired.Millicores, desired.Rule, desired.Reason = override.Millicores, RuleOverride, override.Text
		desired.Since, desired.Until = override.Since, override.Until
	case c.Decision.Held:
		desired.Millicores, desired.Rule, desired.Reason = hold.Millicores, hold.Rule, c.Reason
		desired.Since, desired.Until, desired.Probing = hold.Since, hold.Until, hold.Probing
		desired.Observe = s.Observe || hold.Observe
	default:
		desired.Reason = noRequest
		if c.Released != "" {
			desired.Reason = c.Released
		}

		return desired
	}

	foresee(c, override, &desired)
	desired.Blockers = blockers(c, &desired, s.Wall)

	return desired
}
