// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	"github.com/spegel-guard/spegel-guard/internal/duration"
	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

func (a *app) historyCommand() *cobra.Command {
	var (
		since  time.Duration
		target string
	)

	cmd := &cobra.Command{
		Use:   "history",
		Short: "Show what targets used in the last hour, in steps of 10 s",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return query[*guardv1alpha1.History]{
				columns: output.Titles("TARGET", "AT", "CPU", "TX", "ALLOC", "THROTTLED", "+RX", "+OVER"),
				question: func(n *client.Node, ctx context.Context) (*guardv1alpha1.History, error) {
					return n.History(ctx, target, since)
				},
				rows: historyRows,
			}.ask(cmd.Context(), a)
		},
	}

	cmd.Flags().DurationVar(&since, "since", 5*time.Minute, "how far back to show, at most an hour")
	cmd.Flags().StringVar(&target, "target", "", "id of a target (default all targets)")

	return cmd
}

func historyRows(h *guardv1alpha1.History) []output.Row {
	var rows []output.Row

	for _, series := range h.GetSeries() {
		for _, p := range series.GetPoints() {
			rows = append(rows, output.Row{Cells: []string{
				series.GetTarget(), timestamp(p.GetAt()), known(config.SignalCPU, p.CpuCores), known(config.SignalNetworkTX, p.TxBytesPerSecond),
				known(config.SignalAllocation, p.AllocBytesPerSecond), known(config.SignalThrottled, p.ThrottledRatio),
				known(config.SignalNetworkRX, p.RxBytesPerSecond), duration.Format(p.GetOver().AsDuration()),
			}})
		}
	}

	return rows
}
