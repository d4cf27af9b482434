// SPDX-License-Identifier: MPL-2.0

package decide

import (
	"fmt"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// foresee says when the ceiling may end, to the second.
func foresee(c *Case, override *Override, desired *DesiredCeiling) {
	d := c.Decision
	left, probes := d.ReleasesIn, d.ProbesIn

	desired.Quiet = d.Quiet

	// A throttle keeps a ceiling until it ends, and lets no probe measure anything.
	if override.Kind == Throttle {
		left, probes = max(left, override.Until-c.Now), 0
	}

	desired.ReleasesIn = left.Round(time.Second)

	// A probe that is due is due within a second.
	if probes > 0 {
		desired.ProbesIn = max(probes.Round(time.Second), time.Second)
	}

	desired.FailedProbes = d.Hold.FailedProbes
}

// blockers say what prevents the release of a desired ceiling now.
func blockers(c *Case, desired *DesiredCeiling, wall func(time.Duration) time.Time) []string {
	var texts []string

	if desired.Rule == RuleOverride {
		texts = append(texts, desired.Reason)
	}

	if !c.Decision.Held {
		return texts
	}

	if hold := c.Decision.Hold; c.Now < hold.Until {
		text := "the hold of " + hold.Rule + " lasts"

		// The system's clock may not be set.
		if until := wall(hold.Until); !until.IsZero() {
			text += " until " + until.Format(time.RFC3339)
		}

		texts = append(texts, text)
	}

	if c.Decision.Limited {
		texts = append(texts, fmt.Sprintf("the workload is throttled in %.0f %% of the enforcement periods", 100*c.Decision.ThrottledRatio))
	}

	for _, status := range c.Decision.Rules {
		// Under a ceiling that is written, a rule that only observes prevents nothing.
		if status.Rule.Mode == policy.ModeObserve && !c.Decision.Hold.Observe {
			continue
		}

		if text := blocker(status); text != "" {
			texts = append(texts, text)
		}
	}

	if len(texts) == 0 && c.Decision.Quiet && c.Decision.ReleasesIn > 0 {
		texts = append(texts, "every enforced rule is quiet, for less than ceiling.releaseAfter so far")
	}

	return texts
}

// blocker says why a rule is not quiet; it is empty for one that is.
func blocker(status policy.RuleStatus) string {
	value, name := status.Rule.Signal.Format(status.Value), status.Rule.Name

	switch {
	case status.State == policy.StateUnavailable:
		return fmt.Sprintf("%s is unavailable: %s", name, status.Unavailable)
	case status.State == policy.StatePending && status.Rule.Expression != nil:
		return fmt.Sprintf("%s is pending: %s", name, status.Rule.Text)
	case status.State == policy.StatePending && status.Value <= status.Threshold:
		// The value of a rule with a dip may be lower for a while.
		return fmt.Sprintf("%s is pending: %s, was above %s", name, value, status.Rule.Text)
	case status.State == policy.StatePending:
		return fmt.Sprintf("%s is pending: %s is above %s", name, value, status.Rule.Text)
	case status.State != policy.StateFiring:
		return ""
	case status.Rule.Expression != nil:
		return fmt.Sprintf("%s is firing: %s", name, status.Rule.Text)
	default:
		return fmt.Sprintf("%s is firing: %s, quiet at %s", name, value, status.Rule.Signal.Format(status.Release))
	}
}
