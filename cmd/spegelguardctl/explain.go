// SPDX-License-Identifier: MPL-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/cosi-project/runtime/pkg/state"
	"github.com/spf13/cobra"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	"github.com/spegel-guard/spegel-guard/internal/duration"
	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

var explainColumns = output.Titles("TARGET", "WHAT", "STATE", "VALUE", "THRESHOLD", "SINCE", "NEXT", "+MODE", "+SIGNAL", "+RULE", "+BEFORE", "+DURING", "+AFTER")

func (a *app) explainCommand() *cobra.Command {
	var watch bool

	cmd := &cobra.Command{
		Use:   "explain [TARGET]",
		Short: "Show the state of each rule, what it waits for, and what prevents the release of a ceiling",
		Long: `Show the state of each rule, what it waits for, and what prevents the release of a ceiling.

The row of the last ceiling has its outcome. With -o wide it also has the target's CPU, TX and allocation before the ceiling, during
it, and after it (during the probe, or after the release).`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			target := strings.Join(args, "")

			q := query[*client.Explanation]{
				columns: explainColumns,
				question: func(n *client.Node, ctx context.Context) (*client.Explanation, error) {
					return n.Explain(ctx, target)
				},
				rows: a.explainRows, changed: explanationChanged,
			}

			return q.run(cmd.Context(), a, watch,
				resources.RuleStatusType, resources.GuardStatusType, resources.CeilingStatusType, resources.VerdictType)
		},
	}

	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "continue and print again when a rule, the state, a ceiling or an outcome changes")

	return cmd
}

// explanationChanged reports whether a change is printed. The status of a guard also changes with each second until a release, and with
// the usage that its message may have.
func explanationChanged(change state.Event) bool {
	before, ok := change.Old.(*resources.GuardStatus)
	if !ok {
		return true
	}

	after, ok := change.Resource.(*resources.GuardStatus)
	if !ok {
		return true
	}

	old, status := before.TypedSpec(), after.TypedSpec()

	return old.State != status.State || old.Mode != status.Mode || old.Target != status.Target || old.Rule != status.Rule ||
		old.Ceiling != status.Ceiling || withoutDigits(old.Message) != withoutDigits(status.Message)
}

func withoutDigits(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return -1
		}

		return r
	}, text)
}

func (a *app) explainRows(e *client.Explanation) []output.Row {
	rows := []output.Row{{Severity: output.SeverityOf(e.State), Cells: []string{"", "guard", e.State, "", "", "", e.Message, e.Mode}}}

	for _, c := range e.Conditions {
		if !c.OK {
			rows = append(rows, output.Row{Severity: output.Bad, Cells: []string{"", "condition " + c.Name, c.Reason, "", "", a.ago(c.Since), c.Message}})
		}
	}

	for _, o := range e.Overrides {
		rows = append(rows, output.Row{Severity: output.Warning, Cells: []string{
			o.Target, "override", o.Kind, resources.PrettyMillicores(o.CeilingMillicores), "", a.ago(o.Since),
			strings.TrimPrefix(a.left(", ends in ", o.Until)+", requested by ", ", ") + o.By.Subject + because(o.Reason),
		}})
	}

	for _, target := range e.Targets {
		for _, rule := range target.Rules {
			rows = append(rows, a.ruleRow(target.ID, rule))
		}

		switch {
		case !target.Desired.None():
			rows = append(rows, a.ceilingRow(target))
		case target.Desired != nil:
			rows = append(rows, output.Row{Severity: output.Good, Cells: []string{
				target.ID, "ceiling", "none", "", "", "", target.Desired.Reason,
			}})
		}

		if v := target.Verdict; v != nil {
			rows = append(rows, output.Row{Cells: []string{
				target.ID, "last ceiling", v.Outcome, "", "", a.ago(v.At), v.Reason, "", "", v.Rule,
				usage(v.Before), usage(v.During), usage(v.After),
			}})
		}
	}

	return rows
}

// usage formats what a target used on average; empty for nothing measured.
func usage(u resources.Usage) string {
	measured := policy.Usage{
		Over: u.Over, CoreSeconds: u.CoreSeconds, TXBytes: u.TXBytes, AllocatedBytes: u.AllocatedBytes, AllocatedOver: u.AllocatedOver,
	}

	if measured.Over <= 0 {
		return ""
	}

	var parts []string

	for _, average := range []struct {
		name   string
		signal config.Signal
		value  float64
		over   time.Duration
	}{
		{"CPU ", config.SignalCPU, measured.Cores(), measured.Over},
		{"TX ", config.SignalNetworkTX, measured.TXPerSecond(), measured.Over},
		{"allocation ", config.SignalAllocation, measured.AllocatedPerSecond(), measured.AllocatedOver},
	} {
		if text := known(average.signal, &average.value); text != "" && average.over > 0 {
			parts = append(parts, average.name+text)
		}
	}

	return strings.Join(parts, ", ")
}

func because(reason string) string {
	if reason == "" {
		return ""
	}

	return ": " + reason
}

func (a *app) ruleRow(target string, rule client.Rule) output.Row {
	signal := config.Signal(rule.Signal)
	row := output.Row{Severity: output.Good}
	value, threshold := known(signal, &rule.Value), known(signal, &rule.Threshold)

	if rule.Signal == resources.SignalExpression {
		threshold = "true"
	}

	if rule.State == string(policy.StateUnavailable) {
		value = ""
	}

	if rule.State != "ok" {
		row.Severity = output.Warning
	}

	row.Cells = []string{
		target, rule.Name, rule.State, value, threshold, a.ago(rule.Since),
		nextOf(rule), rule.Mode, rule.Signal,
	}

	return row
}

// nextOf returns what a rule waits for.
func nextOf(rule client.Rule) string {
	var parts []string

	if rule.TripsIn != 0 {
		parts = append(parts, "trips in "+duration.Format(rule.TripsIn))
	}

	if rule.HasCredit && client.Plausible(rule.Credit) {
		parts = append(parts, fmt.Sprintf("%.0f %% of its credit left", rule.Credit*100))
	}

	switch {
	case rule.Learned < rule.Learn:
		parts = append(parts, learned(rule.Learned, rule.Learn))
	case rule.Learn > 0 && client.Plausible(rule.Usual):
		parts = append(parts, "usual level "+known(config.Signal(rule.Signal), &rule.Usual))
	}

	if rule.Reason != "" {
		parts = append(parts, rule.Reason)
	}

	if rule.State == string(policy.StateFiring) && rule.Mode == string(policy.ModeObserve) {
		parts = append(parts, "mode observe: the rule leads to no ceiling")
	}

	return strings.Join(parts, ", ")
}

// learned returns how much of a signal's past a rule with a baseline knows, before it can fire.
func learned(known, needed time.Duration) string {
	return fmt.Sprintf("learning: %gh of %gh", known.Hours(), needed.Hours())
}

func (a *app) ceilingRow(target client.TargetExplanation) output.Row {
	var (
		parts   []string
		desired = target.Desired
		ceiling resources.CeilingStatusSpec
	)

	if target.Ceiling != nil {
		ceiling = *target.Ceiling
	}

	switch {
	case desired.Probing:
		parts = append(parts, "lifted briefly to measure the demand without it")
	case desired.ProbesIn != 0:
		parts = append(parts, "a probe follows in "+duration.Format(desired.ProbesIn)+" if nothing changes")
	case desired.Quiet:
		parts = append(parts, "released in "+duration.Format(desired.ReleasesIn)+" if all rules stay quiet")
	case desired.ReleasesIn != 0:
		parts = append(parts, "released in "+duration.Format(desired.ReleasesIn)+" at the earliest")
	}

	parts = append(parts, client.Advice(target.ID, desired)...)

	parts = append(parts, desired.Blockers...)

	if ceiling.LastError != "" {
		parts = append(parts, ceiling.LastError)
	}

	return output.Row{Severity: output.Warning, Cells: []string{
		target.ID, "ceiling", cmp.Or(ceiling.State, "desired"), ceilingInForce(&ceiling), resources.PrettyMillicores(desired.CeilingMillicores), a.ago(desired.Since),
		strings.Join(parts, "; "), desired.Mode, "", desired.Rule,
	}}
}
