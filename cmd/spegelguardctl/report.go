// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/spegel-guard/spegel-guard/internal/report"
	"github.com/spegel-guard/spegel-guard/pkg/client"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

func (a *app) reportCommand() *cobra.Command {
	var (
		form  string
		since time.Duration
	)

	cmd := &cobra.Command{
		Use:   "report",
		Short: "Write a report of an incident: who was the culprit, what the guards did, and what it changed",
		Long: `Write a report of an incident of the last hour: who was the culprit and why, what the guards did and when, the usage of each
node before, under and after the ceilings, the outcome, and what to do.

With --form html it is one page with charts that needs nothing else. Guards keep an hour of figures: write the report before they
are gone.`,
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

	since = time.Hour
	cmd.Flags().Var(positive{&since}, "since", "how far back to go, at most an hour")

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

	for _, result := range client.Gather(ctx, fleet, func(n *client.Node, ctx context.Context) (report.Node, error) {
		return reportNode(ctx, n, since)
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

	history, err := n.History(ctx, "", since)
	if err != nil {
		return node, err
	}

	node.Points = reportPoints(history)

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

// historyStep is the least time between two points of a target.
const historyStep = 10 * time.Second

// reportPoints adds up the points of a node's targets that end in the same step. A restarted pod is another target.
func reportPoints(history *guardv1alpha1.History) []report.Point {
	sums := map[time.Time]*report.Point{}

	for _, series := range history.GetSeries() {
		for _, p := range series.GetPoints() {
			// The guard's clock was not set.
			if p.GetAt() == nil {
				continue
			}

			step := p.GetAt().AsTime().Truncate(historyStep)

			sum, ok := sums[step]
			if !ok {
				sum = &report.Point{At: p.GetAt().AsTime(), Over: p.GetOver().AsDuration(), Usage: report.Usage{CPU: math.NaN(), TX: math.NaN(), Allocation: math.NaN()}}
				sums[step] = sum
			}

			addKnown(&sum.CPU, p.CpuCores)
			addKnown(&sum.TX, p.TxBytesPerSecond)
			addKnown(&sum.Allocation, p.AllocBytesPerSecond)
		}
	}

	points := make([]report.Point, 0, len(sums))
	for _, p := range sums {
		points = append(points, *p)
	}

	slices.SortFunc(points, func(a, b report.Point) int { return a.At.Compare(b.At) })

	return points
}

// addKnown adds a value to a sum, which is NaN until the first.
func addKnown(sum *float64, value *float64) {
	switch {
	case value == nil:
	case math.IsNaN(*sum):
		*sum = *value
	default:
		*sum += *value
	}
}
