// SPDX-License-Identifier: MPL-2.0

package decide

import (
	"fmt"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// reason keeps the texts of the hold in force and of the last release: their figures are those of that moment.
type reason struct {
	tripped, released string
	since, until      time.Duration
}

// update takes a decision; probing tells whether the hold probed before it.
func (r *reason) update(d policy.Decision, probing bool) {
	if hold := d.Hold; hold.Since != r.since || hold.Until != r.until {
		r.tripped, r.since, r.until = tripReason(d, hold.Rule), hold.Since, hold.Until
	}

	if d.Event != policy.EventRelease {
		return
	}

	r.released = "every rule was quiet for ceiling.releaseAfter"

	if probing {
		r.released = "the probe measured no breach"
	}
}

// tripReason says on which figures a rule tripped.
func tripReason(decision policy.Decision, name string) string {
	for _, status := range decision.Rules {
		if status.Rule.Name != name {
			continue
		}

		value := status.Rule.Signal.Format(status.Value)

		switch {
		case decision.Event == policy.EventRetrip:
			return fmt.Sprintf("the probe measured the breach again (%s)", Threshold(status.Rule))
		case status.State != policy.StateFiring:
		case !status.Rule.Credit.IsZero():
			return fmt.Sprintf("%s %s has used its credit of %s above %s", status.Rule.Signal, value, status.Rule.Credit.Capacity, status.Rule.Credit.Earn)
		case !status.Rule.Expression.IsZero():
			return fmt.Sprintf("%s for %s", status.Rule.Expression, status.Rule.For)
		default:
			return fmt.Sprintf("%s %s above %s for %s", status.Rule.Signal, value, status.Rule.Threshold, status.Rule.For)
		}
	}

	return "adopted from an earlier process"
}

// Threshold is what a rule compares with, as the document has it.
func Threshold(rule *config.Rule) string {
	switch {
	case !rule.Credit.IsZero():
		return rule.Credit.Earn.String()
	case !rule.Expression.IsZero():
		return rule.Expression.String()
	default:
		return rule.Threshold.String()
	}
}
