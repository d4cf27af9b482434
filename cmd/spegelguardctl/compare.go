// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	"github.com/spegel-guard/spegel-guard/internal/compare"
	"github.com/spegel-guard/spegel-guard/pkg/client"
)

func (a *app) compareCommand() *cobra.Command {
	var (
		watch    bool
		interval time.Duration
	)

	cmd := &cobra.Command{
		Use:   "compare",
		Short: "Compare all nodes and name the culprit",
		Long: `Compare all nodes and name the culprit, whose spegel raises the load of its peers.

A figure marked with * is far above the median of the other nodes: by at least 3.5 times their spread (1.4826 times the
median absolute deviation), and by an amount that matters. A culprit also allocates at least
0.5 GB/min and uses at least 200m of CPU; without figures for allocation it uses at least 400m. Nodes that it affects
allocate up to 365 MB/min in recordings of spegel; a ceiling on them would not help.

CPU, network and allocation are averages over a minute. Not every version of spegel exports the keys that it advertises: the
blobs of the content store stand for them.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			fleet, err := a.open(a.Options)
			if err != nil {
				return err
			}

			defer fleet.Close() //nolint:errcheck // the command ends

			for {
				err := a.compare(cmd.Context(), fleet)
				if !watch || cmd.Context().Err() != nil {
					return err
				}

				if err != nil && err.Error() != "" {
					a.note("%s", err)
				}

				select {
				case <-cmd.Context().Done():
					return nil
				case <-time.After(interval):
				}
			}
		},
	}

	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "continue and compare again after each interval")

	interval = 10 * time.Second
	cmd.Flags().Var(positive{&interval}, "interval", "time between two comparisons with --watch")

	return cmd
}

func (a *app) compare(ctx context.Context, fleet *client.Fleet) error {
	printer, err := output.New(a.output, a.stdout, output.Titles("ROLE", "CPU", "TX", "ALLOC", "GC/S", "+KEYS", "BLOBS", "/VAR", "PODS", "NODE TX", "NFS", "+NFS RTT", "+DIAGNOSIS"))
	if err != nil {
		return err
	}

	outcome := outcome{of: len(fleet.Nodes())}

	var nodes []compare.Node

	for _, result := range gather(ctx, a, fleet, (*client.Node).Figures) {
		outcome.add(result.Err)

		if result.Err == nil {
			nodes = append(nodes, result.Value)
		}
	}

	report := compare.Compare(nodes, compare.Limits{})
	item := output.Item{Value: report}

	// The report is one document; its table has a row per node.
	if a.output != "table" && a.output != "wide" {
		return errors.Join(printer.Print(item), outcome.err())
	}

	var items []output.Item

	for _, node := range report.Nodes {
		items = append(items, output.Item{Node: node.Name, Rows: []output.Row{compareRow(node)}})
	}

	items = append(items, output.Item{Node: "(median)", Rows: []output.Row{medianRow(report.Metrics)}})

	if err := printer.Print(items...); err != nil {
		return err
	}

	if _, err := a.stdout.Write([]byte("\n" + report.Verdict + "\n")); err != nil {
		return err
	}

	return outcome.err()
}

func compareRow(node compare.Assessment) output.Row {
	row := output.Row{Cells: []string{string(node.Role)}}

	switch node.Role {
	case compare.Culprit:
		row.Severity = output.Bad
	case compare.Affected:
		row.Severity = output.Warning
	}

	for _, metric := range compare.Metrics() {
		cell, ok := node.Cells[metric]

		switch {
		case !ok:
			row.Cells = append(row.Cells, "")
		case cell.Odd:
			row.Cells = append(row.Cells, metric.Format(cell.Value)+" *")
		default:
			row.Cells = append(row.Cells, metric.Format(cell.Value))
		}
	}

	row.Cells = append(row.Cells, node.Diagnosis)

	return row
}

func medianRow(metrics []compare.Summary) output.Row {
	row := output.Row{Cells: []string{""}}

	for _, summary := range metrics {
		text := ""
		if summary.Nodes > 0 {
			text = summary.Metric.Format(summary.Median)
		}

		row.Cells = append(row.Cells, text)
	}

	return row
}
