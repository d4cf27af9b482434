// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

func (a *app) explainCommand() *cobra.Command {
	var watch bool

	cmd := &cobra.Command{
		Use:   "explain [TARGET]",
		Short: "Show why: rules, what they wait for, and what stands against a release",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			target := strings.Join(args, "")

			q := query[*guardv1alpha1.Explanation]{
				columns: output.Titles("TARGET", "WHAT", "STATE", "VALUE", "THRESHOLD", "SINCE", "NEXT", "+MODE", "+SIGNAL"),
				question: func(n *client.Node, ctx context.Context) (*guardv1alpha1.Explanation, error) {
					return n.Explain(ctx, target)
				},
				rows: a.explainRows,
			}

			return q.run(cmd.Context(), a, watch, resources.RuleStatusType)
		},
	}

	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "go on, and show each change")

	return cmd
}

func (a *app) explainRows(e *guardv1alpha1.Explanation) []output.Row {
	rows := []output.Row{{Severity: severityOf(e.GetState()), Cells: []string{"", "guard", e.GetState(), "", "", "", e.GetMessage(), e.GetMode()}}}

	for _, condition := range e.GetConditions() {
		if !condition.GetOk() {
			rows = append(rows, output.Row{Severity: output.Bad, Cells: []string{
				"", "condition " + condition.GetName(), condition.GetReason(), "", "", a.ago(condition.GetSince()), condition.GetMessage(),
			}})
		}
	}

	for _, order := range e.GetOverrides() {
		rows = append(rows, output.Row{Severity: output.Warning, Cells: []string{
			order.GetTarget(), "order", order.GetKind(), millicores(order.GetCeilingMillicores()), "", a.ago(order.GetSince()),
			"ends in " + a.left(order.GetUntil()) + ", given by " + order.GetBy().GetSubject() + because(order.GetReason()),
		}})
	}

	for _, target := range e.GetTargets() {
		for _, rule := range target.GetRules() {
			rows = append(rows, a.ruleRow(target.GetId(), rule))
		}

		if target.GetHold() != nil {
			rows = append(rows, a.holdRow(target.GetId(), target.GetHold(), target.GetCeiling()))
		}

		if verdict := target.GetVerdict(); verdict != nil {
			rows = append(rows, output.Row{Cells: []string{
				target.GetId(), "last ceiling", verdict.GetOutcome(), "", "", a.ago(verdict.GetAt()), verdict.GetReason(), "", verdict.GetRule(),
			}})
		}
	}

	return rows
}

func because(reason string) string {
	if reason == "" {
		return ""
	}

	return ": " + reason
}

func (a *app) ruleRow(target string, rule *guardv1alpha1.RuleStatus) output.Row {
	signal := config.Signal(rule.GetSignal())
	row := output.Row{Severity: output.Good}

	if rule.GetState() != "ok" {
		row.Severity = output.Warning
	}

	row.Cells = []string{
		target, rule.GetName(), rule.GetState(), signal.Format(rule.GetValue()), threshold(signal, rule.GetThreshold()), a.ago(rule.GetSince()),
		nextOf(rule), rule.GetMode(), rule.GetSignal(),
	}

	return row
}

func threshold(signal config.Signal, value float64) string {
	if signal == "" {
		return "true"
	}

	return signal.Format(value)
}

// nextOf is what a rule waits for.
func nextOf(rule *guardv1alpha1.RuleStatus) string {
	var parts []string

	if trips := in(rule.GetTripsIn()); trips != "" {
		parts = append(parts, "trips in "+trips)
	}

	if rule.GetCredit() > 0 {
		parts = append(parts, fmt.Sprintf("%.0f %% of its credit left", rule.GetCredit()*100))
	}

	if rule.GetReason() != "" {
		parts = append(parts, rule.GetReason())
	}

	return strings.Join(parts, ", ")
}

func (a *app) holdRow(target string, hold *guardv1alpha1.Hold, ceiling *guardv1alpha1.CeilingStatus) output.Row {
	var parts []string

	if releases := in(hold.GetReleasesIn()); releases != "" {
		parts = append(parts, "released in "+releases+" if all stays quiet")
	}

	if left := hold.GetUntil(); left.IsValid() && left.AsTime().After(a.now()) {
		parts = append(parts, "held for "+a.left(left)+" at least")
	}

	if hold.GetProbing() {
		parts = append(parts, "lifted for a moment, to see what demand is like")
	}

	parts = append(parts, hold.GetBlockers()...)

	if ceiling.GetLastError() != "" {
		parts = append(parts, ceiling.GetLastError())
	}

	state := ceiling.GetState()
	if state == "" {
		state = "wanted"
	}

	return output.Row{Severity: output.Warning, Cells: []string{
		target, "ceiling", state, ceilingInForce(ceiling), millicores(hold.GetCeilingMillicores()), a.ago(hold.GetSince()),
		strings.Join(parts, "; "), hold.GetMode(), hold.GetRule(),
	}}
}
