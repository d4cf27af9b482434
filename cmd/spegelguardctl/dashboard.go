// SPDX-License-Identifier: MPL-2.0

package main

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/spegel-guard/spegel-guard/internal/dashboard"
)

func (a *app) dashboardCommand() *cobra.Command {
	flags := manifestFlags{forms: []string{"json", "configmap"}, object: "configmap"}

	cmd := &cobra.Command{
		Use:   "dashboard",
		Short: "Print a Grafana dashboard of the guards' metrics",
		Long: `Print the Grafana dashboard of the guards' metrics: as JSON for Grafana's import, or with --form configmap as a
ConfigMap with the label grafana_dashboard: "1", which the sidecar of Grafana's chart (kube-prometheus-stack) reads.

It needs the guards' own metrics (metrics.listen) in Prometheus: see the command scrape.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := flags.check(cmd); err != nil {
				return err
			}

			switch {
			case flags.form == "configmap":
				return a.printManifest(cmd, dashboard.NewConfigMap(flags.placement), "yaml")
			case cmd.Flags().Changed("output"):
				return a.printManifest(cmd, json.RawMessage(dashboard.JSON), "json")
			default:
				_, err := a.stdout.Write(dashboard.JSON)

				return err
			}
		},
	}

	flags.add(a, cmd, "json (for Grafana's import) or configmap (for the sidecar of its chart)")

	return cmd
}
