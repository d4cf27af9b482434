// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/safe"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/observe"
)

// rulesPublisher publishes the rules of one target.
type rulesPublisher struct {
	last []resources.RuleStatusSpec
	ids  []resource.ID
	// outdated is set when the rules are those of an earlier configuration.
	outdated bool
}

// publish updates the rules that changed significantly, and reports whether one did. Mode is the document's.
func (p *rulesPublisher) publish(
	ctx context.Context, r controller.Writer, target resource.ID, rules []policy.RuleStatus, mode config.Mode,
) (bool, error) {
	changed := p.outdated

	if p.outdated {
		if err := p.withdraw(ctx, r); err != nil {
			return false, err
		}
	}

	for i := range rules {
		status := &rules[i]
		next := ruleSpec(status, mode)

		// By position: the rules of another configuration were withdrawn.
		known := i < len(p.last)
		if known && !ruleChanged(&p.last[i], &next) {
			continue
		}

		id := target + "/" + status.Rule.Name

		if err := modifyRule(ctx, r, id, next, status.Since); err != nil {
			return false, err
		}

		if changed = true; known {
			p.last[i] = next
		} else {
			p.last, p.ids = append(p.last, next), append(p.ids, id)
		}
	}

	return changed, nil
}

// modifyRule is apart, so that its closure is allocated only when it is called.
func modifyRule(ctx context.Context, r controller.Writer, id resource.ID, next resources.RuleStatusSpec, since time.Duration) error {
	err := safe.WriterModify(ctx, r, resources.NewRuleStatus(id), func(res *resources.RuleStatus) error {
		if next.SinceClock = res.TypedSpec().SinceClock; res.TypedSpec().State != next.State {
			next.SinceClock = since
		}

		*res.TypedSpec() = next
		resources.SetTimes(res.TypedSpec(), boottime.Wall)

		return nil
	})
	if err != nil {
		return fmt.Errorf("failed to publish rule %s: %w", id, err)
	}

	return nil
}

// ruleSpec is a rule's status for clients, without its Since.
func ruleSpec(status *policy.RuleStatus, mode config.Mode) resources.RuleStatusSpec {
	signal := string(status.Rule.Signal)
	if status.Rule.Expression != nil {
		signal = resources.SignalExpression
	}

	return resources.RuleStatusSpec{
		Signal: signal, State: string(status.State), Value: observe.Round(status.Value), Threshold: status.Threshold,
		TripsIn: status.TripsIn, Reason: status.Unavailable, Credit: observe.Round(status.Credit), HasCredit: status.Rule.Credit.Capacity > 0,
		Mode: string(cmp.Or(status.Rule.Mode, mode)), Usual: observe.Round(status.Usual), Learned: status.Learned, Learn: status.Rule.Baseline.Learn,
	}
}

// withdraw removes the resources.
func (p *rulesPublisher) withdraw(ctx context.Context, r controller.Writer) error {
	for _, id := range p.ids {
		if err := ignoreNotFound(r.Destroy(ctx, resources.NewRuleStatus(id).Metadata())); err != nil {
			return fmt.Errorf("failed to remove rule %s: %w", id, err)
		}
	}

	*p = rulesPublisher{}

	return nil
}

// ruleChanged reports whether a rule's status differs significantly. The time until it fires counts in seconds.
func ruleChanged(before, after *resources.RuleStatusSpec) bool {
	return before.Signal != after.Signal || before.HasCredit != after.HasCredit || before.State != after.State || before.Threshold != after.Threshold ||
		before.Reason != after.Reason || before.Mode != after.Mode ||
		before.Usual != after.Usual || before.Learned != after.Learned || before.Learn != after.Learn ||
		observe.Changed(before.Value, after.Value, policy.Signal(after.Signal).Unit().Noise()) ||
		observe.Changed(before.Credit, after.Credit, policy.Ratio.Noise()) ||
		before.TripsIn.Truncate(time.Second) != after.TripsIn.Truncate(time.Second)
}
