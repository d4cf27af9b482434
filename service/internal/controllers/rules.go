//go:build linux

package controllers

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/safe"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// publishRules updates the rules whose outcome is news. It tells whether there was one.
func (c *PolicyController) publishRules(ctx context.Context, r controller.Writer, id string, w *workload) (bool, error) {
	news := false

	for i := range w.decision.Rules {
		status := &w.decision.Rules[i]
		next := c.ruleSpec(status)

		// By its place: a configuration with other rules is a new list of them.
		known := i < len(w.published)
		if known && !ruleChanged(&w.published[i], &next) {
			continue
		}

		if err := publishRule(ctx, r, ruleID(id, status), next, status.Since); err != nil {
			return false, err
		}

		if news = true; known {
			w.published[i] = next
		} else {
			w.published = append(w.published, next)
			w.ruleIDs = append(w.ruleIDs, ruleID(id, status))
		}
	}

	return news, nil
}

// publishRule is apart, so that what it keeps of its arguments is allocated when it is called, and not before.
func publishRule(ctx context.Context, r controller.Writer, id string, next resources.RuleStatusSpec, since time.Duration) error {
	err := safe.WriterModify(ctx, r, resources.NewRuleStatus(id), func(res *resources.RuleStatus) error {
		if next.Since = res.TypedSpec().Since; res.TypedSpec().State != next.State {
			next.Since = boottime.Wall(since)
		}

		*res.TypedSpec() = next

		return nil
	})
	if err != nil {
		return fmt.Errorf("error publishing rule %s: %w", id, err)
	}

	return nil
}

func ruleID(id string, status *policy.RuleStatus) string { return id + "/" + status.Rule.Name }

// ruleSpec is a rule's outcome for clients, but for since when.
func (c *PolicyController) ruleSpec(status *policy.RuleStatus) resources.RuleStatusSpec {
	return resources.RuleStatusSpec{
		Signal: signalName(status.Rule), State: string(status.State),
		Value: round(status.Value), Threshold: status.Rule.Threshold,
		TripsIn: status.TripsIn, Reason: status.Unavailable,
		Credit: round(status.Credit), Mode: string(cmp.Or(status.Rule.Mode, c.config.Mode)),
	}
}

// withdraw removes what was published of a workload: there is nothing to act on.
func (w *workload) withdraw(ctx context.Context, r controller.Writer, id string) error {
	if err := w.withdrawRules(ctx, r); err != nil {
		return err
	}

	if err := ignoreNotFound(r.Destroy(ctx, resources.NewVerdict(id).Metadata())); err != nil {
		return fmt.Errorf("error removing the verdict on %s: %w", id, err)
	}

	w.told = nil

	if err := ignoreNotFound(r.Destroy(ctx, resources.NewDesiredCeiling(id).Metadata())); err != nil {
		return fmt.Errorf("error removing the wanted ceiling of %s: %w", id, err)
	}

	w.wanted = false

	return nil
}

func (w *workload) withdrawRules(ctx context.Context, r controller.Writer) error {
	for _, id := range w.ruleIDs {
		if err := ignoreNotFound(r.Destroy(ctx, resources.NewRuleStatus(id).Metadata())); err != nil {
			return fmt.Errorf("error removing rule %s: %w", id, err)
		}
	}

	w.published, w.ruleIDs = nil, nil

	return nil
}
