//go:build linux

package controllers

import (
	"context"
	"fmt"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/safe"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// wish is the ceiling that is wanted for a workload now, by its rules or by a person; ok is false for none. Of
// two the lower one counts.
func (w *workload) wish() (wanted policy.Hold, ok bool) {
	if w.order.Suspends() {
		return policy.Hold{}, false
	}

	if w.decision.Held {
		wanted, ok = w.decision.Hold, true
	}

	if millicores := w.order.CeilingMillicores; w.order.Kind == resources.OverrideThrottle && (!wanted.Enforced() || millicores < wanted.Millicores) {
		return policy.Hold{
			Rule: resources.RuleOverride, Since: w.order.SinceClock, Until: w.order.UntilClock, Millicores: millicores,
		}, true
	}

	return wanted, ok
}

// publishWanted makes the wanted ceiling of a workload what it is now. It tells whether there is one, or was.
func (c *PolicyController) publishWanted(ctx context.Context, r controller.Writer, id string, w *workload) (bool, error) {
	wanted, ok := w.wish()
	if !ok && !w.wanted {
		return false, nil
	}

	if !ok {
		if err := ignoreNotFound(r.Destroy(ctx, resources.NewDesiredCeiling(id).Metadata())); err != nil {
			return false, fmt.Errorf("error removing the wanted ceiling of %s: %w", id, err)
		}

		w.wanted = false

		return true, nil
	}

	w.wanted = true

	err := safe.WriterModify(ctx, r, resources.NewDesiredCeiling(id), func(res *resources.DesiredCeiling) error {
		spec := res.TypedSpec()

		if spec.SinceClock != wanted.Since || spec.HoldUntilClock != wanted.Until || spec.Rule != wanted.Rule {
			spec.Since, spec.HoldUntil = boottime.Wall(wanted.Since), boottime.Wall(wanted.Until)
			spec.Reason = w.reason

			if wanted.Rule == resources.RuleOverride {
				spec.Reason = inWords(w.order)
			}
		}

		spec.Mode, spec.Probing, spec.Conflict = string(c.config.Mode), wanted.Probing, string(c.config.Ceiling.Conflict)
		spec.YieldedClock = w.yielded

		if wanted.Observe {
			spec.Mode = string(config.ModeObserve)
		}

		spec.CeilingMillicores, spec.FloorMillicores = wanted.Millicores, c.config.Ceiling.Floor.Millicores
		spec.Rule = wanted.Rule
		spec.SinceClock, spec.HoldUntilClock = wanted.Since, wanted.Until
		spec.ReleasesIn, spec.Blockers = w.releasesIn(), w.blockers(wanted)

		return nil
	})
	if err != nil {
		return false, fmt.Errorf("error publishing the wanted ceiling of %s: %w", id, err)
	}

	return true, nil
}

// releasesIn is the time until the ceiling goes if all stays quiet.
func (w *workload) releasesIn() time.Duration {
	left := w.decision.ReleasesIn

	if w.order.Kind == resources.OverrideThrottle {
		left = max(left, w.order.UntilClock-w.clock)
	}

	return left.Round(time.Second)
}

// blockers are what stands against the release of a wanted ceiling, for people.
func (w *workload) blockers(wanted policy.Hold) []string {
	var texts []string

	if wanted.Rule == resources.RuleOverride {
		texts = append(texts, inWords(w.order))
	}

	if !w.decision.Held {
		return texts
	}

	if hold := w.decision.Hold; w.clock < hold.Until {
		texts = append(texts, fmt.Sprintf("the hold of %s lasts until %s", hold.Rule, boottime.Wall(hold.Until).Format(time.RFC3339)))
	}

	if w.decision.Throttled {
		texts = append(texts, fmt.Sprintf("the workload is throttled in %.0f %% of the periods", 100*w.decision.ThrottledRatio))
	}

	for _, status := range w.decision.Rules {
		if text := blocking(status); text != "" {
			texts = append(texts, text)
		}
	}

	if len(texts) == 0 && w.decision.ReleasesIn > 0 {
		texts = append(texts, "quiet, but not for ceiling.releaseAfter yet")
	}

	return texts
}

// blocking says why a rule is not quiet; it is empty for one that is.
func blocking(status policy.RuleStatus) string {
	value, name := status.Rule.Signal.Format(status.Value), status.Rule.Name

	switch {
	case status.State == policy.StateUnavailable:
		return fmt.Sprintf("%s is unavailable: %s", name, status.Unavailable)
	case status.State == policy.StatePending:
		return fmt.Sprintf("%s is pending: %s is above %s", name, value, status.Rule.Text)
	case status.State != policy.StateFiring:
		return ""
	case status.Rule.Expression != nil:
		return fmt.Sprintf("%s is firing: %s", name, status.Rule.Text)
	default:
		return fmt.Sprintf("%s is firing: %s, quiet at %s", name, value, status.Rule.Signal.Format(status.Rule.Release))
	}
}
