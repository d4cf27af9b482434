// SPDX-License-Identifier: MPL-2.0

package decide

import (
	"fmt"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/duration"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// reason keeps the texts of the hold in force and of the last release: their figures are those of that moment.
type reason struct {
	tripped, released string
	since             time.Duration
}

// update takes a decision. Probing reports whether the hold probed before it; override is the prevailing one.
func (r *reason) update(d *policy.Decision, probing bool, override *Override) {
	// A step down prolongs the hold and is no trip.
	if d.Hold.Since != r.since {
		r.since = d.Hold.Since

		if d.Held {
			r.tripped = tripReason(d)
		}
	}

	switch {
	case d.Event != policy.EventRelease:
	case override.Suspends():
		r.released = override.Text
	case d.NotInForce:
		r.released = "the ceiling of the hold was not in force, and no enforced rule was above its threshold for ceiling.releaseAfter"
	case probing:
		r.released = "the probe measured no breach"
	default:
		r.released = "every enforced rule was quiet for ceiling.releaseAfter"
	}
}

// retripReason says what the probe has measured.
func retripReason(breach *policy.Breach) string {
	switch rule := breach.Rule; {
	case rule == nil:
		return "the probe could not measure"
	case rule.Expression != nil:
		return fmt.Sprintf("the probe measured the breach of %s again: %s", rule.Name, rule.Text)
	default:
		return fmt.Sprintf("the probe measured the breach of %s again: %s %s, above %s",
			rule.Name, rule.Signal, rule.Signal.Format(breach.Value), rule.Signal.Format(rule.Threshold))
	}
}

// tripReason says on which figures the rule of the hold tripped.
func tripReason(decision *policy.Decision) string {
	if decision.Event == policy.EventRetrip {
		return retripReason(&decision.Breach)
	}

	for i := range decision.Rules {
		status := &decision.Rules[i]
		if status.Rule.Name != decision.Hold.Rule {
			continue
		}

		value := status.Rule.Signal.Format(status.Value)

		switch {
		case status.State != policy.StateFiring:
		case status.Rule.Credit.Capacity > 0:
			return fmt.Sprintf("%s %s has used its credit of %s above %s", status.Rule.Signal, value, status.Rule.Credit.Text, status.Rule.Text)
		case status.Rule.Expression != nil:
			return fmt.Sprintf("%s for %s", status.Rule.Text, duration.Exact(status.Rule.For))
		case status.Rule.Baseline.Enabled():
			return fmt.Sprintf("%s %s above %s for %s (%s)",
				status.Rule.Signal, value, status.Rule.Signal.Format(status.Threshold), duration.Exact(status.Rule.For), status.Rule.Text)
		default:
			return fmt.Sprintf("%s %s above %s for %s", status.Rule.Signal, value, status.Rule.Text, duration.Exact(status.Rule.For))
		}
	}

	return "adopted from an earlier process"
}
