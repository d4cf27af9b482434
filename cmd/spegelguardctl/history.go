// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	"github.com/spegel-guard/spegel-guard/internal/duration"
	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

// nodeTarget stands in the place of a target for the traffic of the node itself.
const nodeTarget = "(node)"

func (a *app) historyCommand() *cobra.Command {
	var (
		since  time.Duration
		target string
		plot   bool
	)

	cmd := &cobra.Command{
		Use:   "history",
		Short: "Show what targets used in the last day, and the traffic of their nodes",
		Long: `Show what targets used in the last day, and the traffic of the nodes' physical links. Targets that have ended are included.

Up to an hour is shown in steps of 10 s, a longer time in steps of a minute. Guards keep a day.

With -o csv the output is a table for a spreadsheet: numbers without units, times in UTC, and an empty cell for a value that is unavailable.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := query[*guardv1alpha1.History]{
				columns: output.Titles("TARGET", "AT", "CPU", "TX", "ALLOC", "THROTTLED", "+RX", "+OVER"),
				question: func(n *client.Node, ctx context.Context) (*guardv1alpha1.History, error) {
					history, err := n.History(ctx, target, since)
					if err == nil && target != "" {
						history.Links = nil
					}

					return history, err
				},
				rows: historyRows,
			}

			switch {
			case plot && a.output != "table":
				return errors.New("--plot and --output exclude each other")
			case plot:
				q.printer = &plotPrinter{w: a.stdout, width: widthOf(a.stdout)}
			case a.output == "csv":
				q.printer = newCSV(a.stdout)
			}

			return q.ask(cmd.Context(), a)
		},
	}

	since = 5 * time.Minute
	cmd.Flags().Var(positive{&since}, "since", "how far back to show, at most a day (24h)")
	cmd.Flags().StringVar(&target, "target", "", "id of a target (default all targets and the node)")
	cmd.Flags().BoolVar(&plot, "plot", false, "draw charts on the terminal")

	return cmd
}

// historySeries returns the series of a node's targets, and that of the node if there is one.
func historySeries(h *guardv1alpha1.History) []*guardv1alpha1.Series {
	if len(h.GetLinks().GetPoints()) == 0 {
		return h.GetSeries()
	}

	return append(h.GetSeries()[:len(h.GetSeries()):len(h.GetSeries())], h.GetLinks())
}

// targetName returns what a series is about.
func targetName(series *guardv1alpha1.Series) string {
	if series.GetTarget() == "" {
		return nodeTarget
	}

	return series.GetTarget()
}

func historyRows(h *guardv1alpha1.History) []output.Row {
	var rows []output.Row

	for _, series := range historySeries(h) {
		for _, p := range series.GetPoints() {
			rows = append(rows, output.Row{Cells: []string{
				targetName(series), timestamp(p.GetAt()), known(config.SignalCPU, p.CpuCores), known(config.SignalNetworkTX, p.TxBytesPerSecond),
				known(config.SignalAllocation, p.AllocBytesPerSecond), known(config.SignalThrottled, p.ThrottledRatio),
				known(config.SignalNetworkRX, p.RxBytesPerSecond), duration.Format(p.GetOver().AsDuration()),
			}})
		}
	}

	return rows
}
