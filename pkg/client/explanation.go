// SPDX-License-Identifier: MPL-2.0

package client

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/cosi-project/runtime/pkg/resource"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// Explanation is why one node's guard is in its state.
type Explanation struct {
	Guard `yaml:",inline"`

	// Conditions of the guard's parts.
	Conditions []Condition         `yaml:"conditions"`
	Overrides  []Override          `yaml:"overrides"`
	Targets    []TargetExplanation `yaml:"targets"`
}

// MarshalJSON implements json.Marshaler.
func (e Explanation) MarshalJSON() ([]byte, error) { return marshal(e) }

// Condition is the health of one part of the guard.
type Condition struct {
	Name                    string `yaml:"name"`
	resources.ConditionSpec `yaml:",inline"`
}

// TargetExplanation is why one target is in its state.
type TargetExplanation struct {
	ID    string `yaml:"id"`
	Rules []Rule `yaml:"rules"`
	// Desired is nil before the first decision. A ceiling of 0 is none, with the reason.
	Desired *resources.DesiredCeilingSpec `yaml:"desired,omitempty"`
	// Ceiling is nil when the target has none.
	Ceiling *resources.CeilingStatusSpec `yaml:"ceiling,omitempty"`
	// Verdict on the last ceiling that ended; nil when there was none.
	Verdict *resources.VerdictSpec `yaml:"verdict,omitempty"`
}

// Advice is what a person should do about a ceiling of a target that does not end the breach; nil for nothing. The guard itself
// restarts nothing.
func Advice(target string, desired *resources.DesiredCeilingSpec) []string {
	if desired.None() {
		return nil
	}

	advice := policy.RestartAdvice(int(desired.FailedProbes))
	if advice == "" {
		return nil
	}

	namespace, rest, _ := strings.Cut(target, "/")
	pod, _, _ := strings.Cut(rest, "/")

	return []string{
		fmt.Sprintf("%s (kubectl -n %s delete pod %s)", advice, namespace, pod),
		fmt.Sprintf("set a CPU limit on the container (resources.limits.cpu: %dm)", desired.CeilingMillicores),
	}
}

// Targets returns the ids of the node's targets.
func (n *Node) Targets(ctx context.Context) ([]string, error) {
	items, err := list[*resources.Target](ctx, n.Resources)
	ids := make([]string, len(items))

	for i, item := range items {
		ids[i] = item.Metadata().ID()
	}

	return ids, err
}

// Explain reads the rules, what a ceiling waits for, the overrides and the conditions. An empty target selects all
// targets; the error for a target that the node does not have has the code NotFound.
func (n *Node) Explain(ctx context.Context, target string) (*Explanation, error) {
	var (
		explanation = &Explanation{}
		ids         []string
		desired     = map[string]*resources.DesiredCeilingSpec{}
		verdicts    = map[string]*resources.VerdictSpec{}
	)

	group, ctx := errgroup.WithContext(ctx)
	common := collectCommon(ctx, group, n.Resources)

	collect(ctx, group, n.Resources, func(id resource.ID, item *resources.Condition) {
		explanation.Conditions = append(explanation.Conditions, Condition{Name: id, ConditionSpec: *item.TypedSpec()})
	})
	collect(ctx, group, n.Resources, func(id resource.ID, _ *resources.Target) { ids = append(ids, id) })
	collect(ctx, group, n.Resources, func(id resource.ID, item *resources.DesiredCeiling) { desired[id] = item.TypedSpec() })
	collect(ctx, group, n.Resources, func(id resource.ID, item *resources.Verdict) { verdicts[id] = item.TypedSpec() })

	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("failed to read the explanation: %w", err)
	}

	if target != "" {
		if !slices.Contains(ids, target) {
			return nil, status.Errorf(codes.NotFound, "unknown target %q: the node has the targets %s", target, strings.Join(ids, ", "))
		}

		ids = []string{target}
	}

	explanation.Guard, explanation.Overrides = common.guard, common.overrides

	for _, id := range ids {
		explanation.Targets = append(explanation.Targets, TargetExplanation{
			ID: id, Rules: common.rules[id], Desired: desired[id], Ceiling: common.ceilings[id], Verdict: verdicts[id],
		})
	}

	return explanation, nil
}
