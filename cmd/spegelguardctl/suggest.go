// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/spegel-guard/spegel-guard/internal/compare"
	"github.com/spegel-guard/spegel-guard/internal/duration"
	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

const (
	// suggestLeast is the least history that a level is taken from.
	suggestLeast = 10 * time.Minute
	// suggestMargin is how far a threshold is above the usual level, about as far as the default is above a culprit's peers.
	suggestMargin = 1.5
)

func (a *app) suggestCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "suggest",
		Short: "Print a document with thresholds from the nodes' own history",
		Long: `Print a document with thresholds from the nodes' own history, which is the last day: guards keep no more. The comments
have the usual level of each node.

A threshold is 1.5 times the highest usual value of any selected node, and at least the default: thresholds below it would
throttle the peers of a culprit. The highest usual value is the median of averages over a minute plus 3.5 robust standard
deviations (1.4826 times the median absolute deviation), so that a spin of less than half of the recorded time does not raise it. If a
usual CPU value is above the default ceiling, ceiling.cpu is set to that value. A node is
left out if it is a culprit or affected by one, as in the command compare, or if it has less than ten minutes of history. Pods that
ended in that day count, too, if they ran for ten minutes. Select
nodes with -n for a document of their own. The output is the guard's document (SpegelGuardConfig): put it into an
ExtensionServiceConfig before you apply it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.prints(cmd, "yaml"); err != nil {
				return err
			}

			return a.suggest(cmd.Context())
		},
	}
}

func (a *app) suggest(ctx context.Context) error {
	fleet, err := a.open(a.Options)
	if err != nil {
		return err
	}

	defer fleet.Close() //nolint:errcheck // the command ends

	outcome := outcome{of: len(fleet.Nodes()), judging: true}

	var nodes []usualNode

	for _, result := range gather(ctx, a, fleet, func(n *client.Node, ctx context.Context) (*guardv1alpha1.History, error) {
		return n.History(ctx, "", 0)
	}) {
		outcome.add(result.Err)

		if result.Err == nil {
			nodes = append(nodes, usualOf(result.Node.Name, result.Value))
		}
	}

	// A threshold without the level of a node could throttle it.
	if err := outcome.err(); err != nil {
		return err
	}

	leaveOut(nodes)

	document, raised, err := suggestion(nodes)
	if err != nil {
		return err
	}

	for _, text := range raised {
		a.note("%s", text)
	}

	_, err = a.stdout.Write(document)

	return err
}

// leaveOut marks the nodes whose level says nothing about a threshold.
func leaveOut(nodes []usualNode) {
	figures := make([]compare.Node, len(nodes))

	for i, n := range nodes {
		figures[i] = compare.Node{Name: n.name, Figures: map[compare.Metric]float64{}}

		for metric, level := range n.levels {
			figures[i].Figures[metric] = level.Median
		}
	}

	for i, assessed := range compare.Compare(figures, compare.Limits{}).Nodes {
		tooHigh := nodes[i].tooHigh()

		switch {
		case nodes[i].covered < suggestLeast:
			nodes[i].leftOut = fmt.Sprintf("left out: less than %s of history", duration.Format(suggestLeast))
		case tooHigh != "":
			nodes[i].leftOut = "left out: no threshold is high enough for " + tooHigh
		case assessed.Role != compare.Normal:
			nodes[i].leftOut = "left out: " + string(assessed.Role)
		}
	}
}

// suggestion returns the document, and a text for each threshold that is above the default.
func suggestion(nodes []usualNode) (document []byte, raised []string, err error) {
	texts := map[config.Signal]string{}
	root := mapping("apiVersion", config.APIVersion, "kind", config.Kind)

	for _, m := range suggested {
		high, of := 0.0, ""

		for _, n := range nodes {
			if level := n.levels[m.metric]; n.leftOut == "" && level.High() > high {
				high, of = level.High(), n.name
			}
		}

		standard := defaultThreshold(m.signal)
		texts[m.signal] = standard.String()

		if suggestMargin*high <= standard.Value {
			continue
		}

		texts[m.signal] = m.write(suggestMargin * high)
		raised = append(raised, fmt.Sprintf("%s of %s is usually up to %s: find out why before you use a threshold of %s (default %s)",
			m.signal, of, m.metric.Format(high), texts[m.signal], standard))

		if m.signal == config.SignalCPU && high > float64(config.Default().Ceiling.CPU.Millicores)/1000 {
			set(root, "ceiling.cpu", m.write(high))
		}
	}

	g := generated{cpu: texts[config.SignalCPU], tx: texts[config.SignalNetworkTX], alloc: texts[config.SignalAllocation]}

	text, err := g.encode(root)
	if err != nil {
		return nil, nil, err
	}

	return append([]byte(levels(nodes)), text...), raised, nil
}

// defaultThreshold returns the threshold of the default rule on a signal.
func defaultThreshold(signal config.Signal) config.Threshold {
	for _, rule := range config.Default().Rules {
		if rule.Signal == signal && rule.Credit.IsZero() {
			return rule.Threshold
		}
	}

	return config.Threshold{}
}

// levels returns the comment with the usual level of each node.
func levels(nodes []usualNode) string {
	var table strings.Builder

	fmt.Fprintf(&table, "Suggested from the last day of %d nodes, which is what guards keep. Usual values: the median, and in parentheses the\n", len(nodes))
	table.WriteString("highest one.\n")

	rows := []string{"NODE\tHISTORY"}

	for _, m := range suggested {
		rows[0] += "\t" + string(m.signal)
	}

	for _, n := range nodes {
		row := n.name + "\t" + duration.Format(n.covered)

		for _, m := range suggested {
			figures := "-"
			if level, ok := n.levels[m.metric]; ok {
				figures = m.metric.Format(level.Median) + " (" + m.metric.Format(level.High()) + ")"
			}

			row += "\t" + figures
		}

		if n.leftOut != "" {
			row += "\t" + n.leftOut
		}

		rows = append(rows, row)
	}

	w := tabwriter.NewWriter(&table, 0, 0, 3, ' ', 0)
	w.Write([]byte(strings.Join(rows, "\n"))) //nolint:errcheck // a Builder does not fail
	w.Flush()                                 //nolint:errcheck // as above

	return "# " + strings.ReplaceAll(table.String(), "\n", "\n# ") + "\n"
}
