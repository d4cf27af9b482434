// SPDX-License-Identifier: MPL-2.0

package main

import (
	"github.com/spf13/cobra"

	"github.com/spegel-guard/spegel-guard/internal/dashboard"
)

func (a *app) dashboardCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "dashboard",
		Short: "Print a Grafana dashboard of the guards' metrics",
		Long: `Print the Grafana dashboard of the guards' metrics as JSON, for Grafana's import or for a ConfigMap that its sidecar
reads. It needs the guards' own metrics (metrics.listen) in Prometheus.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.prints(cmd, "json"); err != nil {
				return err
			}

			_, err := a.stdout.Write(dashboard.JSON)

			return err
		},
	}
}
