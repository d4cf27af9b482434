// SPDX-License-Identifier: MPL-2.0

package main

import (
	"cmp"
	"slices"

	"github.com/spf13/cobra"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

func (a *app) statusCommand() *cobra.Command {
	var watch bool

	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the state of every node's guard",
		Long: `Show the state of every node's guard, one row per node; with several targets on a node it is the worst one's.

Exit codes: 0 no ceiling is in force, 2 one is, 3 a guard is unavailable, without a target or not reachable.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := query[*guardv1alpha1.Status]{
				columns: output.Titles("STATE", "TARGET", "CPU", "TX", "ALLOC", "CEILING", "RULE", "SINCE", "MODE",
					"+RX", "+MEMORY", "+THROTTLED", "+ORDERS", "+VERSION", "+MESSAGE"),
				question: (*client.Node).Status,
				rows:     a.statusRows,
				judge:    func(s *guardv1alpha1.Status) int { return codeOf(s.GetState()) },
			}

			return q.run(cmd.Context(), a, watch, resources.GuardStatusType)
		},
	}

	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "go on, and show each change")

	return cmd
}

func (a *app) statusRows(s *guardv1alpha1.Status) []output.Row {
	target := worst(s.GetTargets())
	ceiling := target.GetCeiling()

	orders := ""
	for _, order := range s.GetOverrides() {
		orders = order.GetKind() + " for " + a.left(order.GetUntil()) + " by " + order.GetBy().GetSubject()
	}

	return []output.Row{{Severity: severityOf(s.GetState()), Cells: []string{
		s.GetState(), target.GetId(), reading(config.SignalCPU, target.GetCpuCores()), reading(config.SignalNetworkTX, target.GetTxBytesPerSecond()),
		reading(config.SignalAllocation, target.GetAllocBytesPerSecond()), ceilingInForce(ceiling), cmp.Or(ceiling.GetRule(), loudest(target.GetRules())),
		a.ago(s.GetSince()), s.GetMode(), reading(config.SignalNetworkRX, target.GetRxBytesPerSecond()), bytesOf(target.GetMemoryBytes()),
		reading(config.SignalThrottled, target.GetThrottledRatio()), orders, s.GetVersion(), s.GetMessage(),
	}}}
}

// ceilingInForce is the limit that the kernel shows; one that is only observed is not in force.
func ceilingInForce(c *guardv1alpha1.CeilingStatus) string {
	if c.GetCores() == 0 || c.GetState() != resources.CeilingApplied {
		return ""
	}

	return config.SignalCPU.Format(c.GetCores())
}

// ruleOrder is from what matters least.
var ruleOrder = []string{"ok", "unavailable", "releasing", "pending", "firing"}

// loudest is the name of the rule that is furthest from well; empty when all are.
func loudest(rules []*guardv1alpha1.RuleStatus) string {
	name, rank := "", 0

	for _, rule := range rules {
		if r := slices.Index(ruleOrder, rule.GetState()); r > rank {
			name, rank = rule.GetName(), r
		}
	}

	return name
}

// worst is the target to show of a node: one under a ceiling, or the one that uses most.
func worst(targets []*guardv1alpha1.TargetStatus) *guardv1alpha1.TargetStatus {
	if len(targets) == 0 {
		return nil
	}

	return slices.MaxFunc(targets, func(a, b *guardv1alpha1.TargetStatus) int {
		held := func(t *guardv1alpha1.TargetStatus) int { return len(ceilingInForce(t.GetCeiling())) }

		return cmp.Or(cmp.Compare(min(1, held(a)), min(1, held(b))), cmp.Compare(a.GetCpuCores().GetValue(), b.GetCpuCores().GetValue()))
	})
}
