// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/spegel-guard/spegel-guard/internal/report"
	"github.com/spegel-guard/spegel-guard/pkg/client"
)

func (a *app) reportCommand() *cobra.Command {
	var (
		form  string
		since time.Duration
	)

	cmd := &cobra.Command{
		Use:   "report",
		Short: "Write a report of an incident: who was the culprit, what the guards did, and what it changed",
		Long: `Write a report of an incident of the last day: who was the culprit and why, what the guards did and when, the usage of each
node before, under and after the ceilings, the outcome, and what to do.

Ceilings that are an hour apart or more are different incidents; the report compares the last one. The usage is that of the pods, and the
traffic of each node's links. A node that reports times in the future, or points from before that time, is left out (tolerance: 5 minutes).

With --form html it is one page with charts that needs nothing else. Guards keep a day of figures: write the report before they
are gone. The last hour is in steps of 10 s, what was before, or before a restart of the guard, in steps of a minute.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			write, ok := map[string]func(i report.Incident) error{
				"markdown": func(i report.Incident) error { return report.Markdown(a.stdout, i) },
				"html":     func(i report.Incident) error { return report.HTML(a.stdout, i) },
			}[form]
			if !ok {
				return fmt.Errorf("invalid --form %q: must be markdown or html", form)
			}

			return a.writeReport(cmd.Context(), since, write)
		},
	}

	cmd.Flags().StringVar(&form, "form", "markdown", "markdown or html")

	since = 24 * time.Hour
	cmd.Flags().Var(positive{&since}, "since", "how far back to go, at most a day (24h)")

	return cmd
}

func (a *app) writeReport(ctx context.Context, since time.Duration, write func(report.Incident) error) error {
	fleet, err := a.open(a.Options)
	if err != nil {
		return err
	}

	defer fleet.Close() //nolint:errcheck // the command ends

	var (
		outcome = outcome{of: len(fleet.Nodes())}
		nodes   []report.Node
		missing []report.Entry
	)

	for _, result := range gather(ctx, a, fleet, func(n *client.Node, ctx context.Context) (report.Node, error) {
		node, err := reportNode(ctx, n, since)
		if err == nil {
			err = checkClock(node, since, a.now())
			node.Since(a.now().Add(-since - maxClockSkew))
		}

		return node, err
	}) {
		outcome.add(result.Err)

		if result.Err != nil {
			missing = append(missing, report.Entry{Node: result.Node.Name, Why: result.Err.Error()})
		} else {
			nodes = append(nodes, result.Value)
		}
	}

	if err := write(report.Build(nodes, missing)); err != nil {
		return err
	}

	return outcome.err()
}

// reportNode reads what one guard knows.
func reportNode(ctx context.Context, n *client.Node, since time.Duration) (report.Node, error) {
	node := report.Node{Name: n.Name, Verdicts: map[string]string{}}

	if err := readPoints(ctx, n, since, &node); err != nil {
		return node, err
	}

	events, err := n.PastEvents(ctx, -1)
	if err != nil {
		return node, err
	}

	for _, event := range events {
		action := event.Action
		node.Actions = append(node.Actions, report.Action{
			At: action.At, Kind: action.Action, Target: action.Target, Reason: action.Reason, Before: action.Before, After: action.After,
			Evidence: action.Evidence,
		})
	}

	explanation, err := n.Explain(ctx, "")
	if err != nil {
		return node, err
	}

	for _, target := range explanation.Targets {
		if v := target.Verdict; v != nil {
			node.Verdicts[target.ID] = v.Outcome + ": " + v.Reason
		}

		node.Advice = append(node.Advice, client.Advice(target.ID, target.Desired)...)
	}

	return node, nil
}

// maxClockSkew is how far the clock of a node may differ from this machine's.
const maxClockSkew = 5 * time.Minute

// checkClock returns an error if a point is outside of the time from now-since to now, or an action is after it, by more than maxClockSkew:
// one node with a wrong clock would move the incident, or the axis of time, for all nodes. Guards keep older actions.
func checkClock(node report.Node, since time.Duration, now time.Time) error {
	points := []time.Time{now}
	for _, p := range node.All() {
		points = append(points, p.At)
	}

	all := slices.Clone(points)
	for _, action := range node.Actions {
		all = append(all, action.At)
	}

	first, last := slices.MinFunc(points, time.Time.Compare), slices.MaxFunc(all, time.Time.Compare)
	at := last

	switch {
	case last.Sub(now) > maxClockSkew:
	case now.Sub(first) > since+maxClockSkew:
		at = first
	default:
		return nil
	}

	return fmt.Errorf("the node reports the time %s, and the clock of this machine shows %s: correct the wrong clock",
		at.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
}
