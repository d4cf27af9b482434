// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	"github.com/spegel-guard/spegel-guard/pkg/client"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

// captureCommand needs the role os:operator or os:admin.
func (a *app) captureCommand() *cobra.Command {
	request := &guardv1alpha1.CaptureRequest{}

	cmd := &cobra.Command{
		Use: "capture", Short: "Capture evidence (metrics and profiles) of targets on their nodes", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return query[*guardv1alpha1.CaptureResult]{
				columns: output.Titles("TARGET", "PATH", "ERROR"),
				question: func(n *client.Node, ctx context.Context) (*guardv1alpha1.CaptureResult, error) {
					return n.Capture(ctx, request)
				},
				rows: captureRows,
				failed: func(result *guardv1alpha1.CaptureResult) bool {
					return slices.ContainsFunc(result.GetEvidence(), func(e *guardv1alpha1.Evidence) bool { return e.GetError() != "" })
				},
			}.ask(cmd.Context(), a)
		},
	}

	cmd.Flags().StringVar(&request.Target, "target", "", "id of a target (default all targets)")
	cmd.Flags().StringVar(&request.Reason, "reason", "", "reason for the record")

	return cmd
}

func captureRows(result *guardv1alpha1.CaptureResult) []output.Row {
	var rows []output.Row

	for _, e := range result.GetEvidence() {
		row := output.Row{Cells: []string{e.GetTarget(), e.GetPath(), e.GetError()}}

		if e.GetError() != "" {
			row.Severity = output.Bad
		}

		rows = append(rows, row)
	}

	return rows
}
