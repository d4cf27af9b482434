// SPDX-License-Identifier: MPL-2.0

package main

import (
	"github.com/spf13/cobra"

	"github.com/spegel-guard/spegel-guard/internal/scrape"
)

func (a *app) scrapeCommand() *cobra.Command {
	var path, secret string

	flags := manifestFlags{forms: []string{"scrapeconfig", "plain"}, object: "scrapeconfig"}

	cmd := &cobra.Command{
		Use:   "scrape",
		Short: "Print the configuration with which Prometheus scrapes the guards",
		Long: `Print the configuration with which Prometheus scrapes the guards of all nodes: a ScrapeConfig for the Prometheus
operator (v0.65 or newer), or with --form plain a part of Prometheus' own configuration.

The port and TLS are those of metrics.listen and metrics.tls in force, or those of the document of --config. The whole
configuration in force must be the same on all nodes that are asked. With TLS, the client certificate of Prometheus is
in the secret of --secret, with the keys ca.crt, tls.crt and tls.key: docs/metrics.md has the steps.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := flags.check(cmd); err != nil {
				return err
			}

			cfg, err := a.inForce(cmd.Context(), path)
			if err != nil {
				return err
			}

			endpoint, err := scrape.NewEndpoint(cfg.Metrics, secret)
			if err != nil {
				return err
			}

			if flags.form == "plain" {
				return a.printManifest(cmd, endpoint.Plain(), "yaml")
			}

			return a.printManifest(cmd, endpoint.ScrapeConfig(flags.placement), "yaml")
		},
	}

	cmd.Flags().StringVar(&path, "config", "", "document or machine configuration with the metrics; no node is contacted")
	cmd.Flags().StringVar(&secret, "secret", scrape.ClientCertificate, "secret with the client certificate, used with TLS only")
	flags.add(a, cmd, "scrapeconfig (for the Prometheus operator) or plain (for the configuration of Prometheus)")

	return cmd
}
