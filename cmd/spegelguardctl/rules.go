// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/spf13/cobra"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	"github.com/spegel-guard/spegel-guard/internal/alerts"
	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/config"
)

func (a *app) rulesCommand() *cobra.Command {
	var path string

	options := alerts.DefaultOptions()
	flags := manifestFlags{forms: []string{"prometheusrule", "plain", "inhibit"}, object: "prometheusrule"}

	cmd := &cobra.Command{
		Use:   "rules",
		Short: "Print Prometheus alerting rules for the thresholds in force",
		Long: `Print Prometheus alerting rules for the thresholds in force: an alert for each rule that has an equivalent in
PromQL, and alerts on the guards themselves.
With --form inhibit, print the part of Alertmanager's configuration that silences CPUThrottlingHigh under a ceiling.

The thresholds are those in force, or those of the document of --config. The whole configuration in force must be the
same on all nodes that are asked. The alerts on guards need the guards' own metrics (metrics.listen) in Prometheus: see
the command scrape. The output is YAML unless --output is set.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(flags.check(cmd), options.Validate()); err != nil {
				return err
			}

			if flags.form == "inhibit" {
				return a.printRules(cmd, alerts.Inhibit(), nil)
			}

			cfg, err := a.inForce(cmd.Context(), path)
			if err != nil {
				return err
			}

			groups, unexpressed := alerts.Groups(cfg, options)

			for _, rule := range unexpressed {
				a.note("%s is left out: %s", rule.Rule, rule.Reason)
			}

			if flags.form == "plain" {
				return a.printRules(cmd, alerts.RuleFile{Groups: groups}, groups)
			}

			return a.printRules(cmd, alerts.NewPrometheusRule(flags.placement, groups), groups)
		},
	}

	cmd.Flags().StringVar(&path, "config", "", "document or machine configuration with the thresholds; no node is contacted")
	cmd.Flags().StringVar(&options.Pods, "pods", options.Pods, "regular expression of the names of spegel's pods")
	cmd.Flags().StringVar(&options.Job, "job", options.Job, "label job of the guards' metrics")
	cmd.Flags().StringVar(&options.RunbookBase, "runbook-base", options.RunbookBase, "address of the runbooks, to which #ALERT is added; empty for no runbook_url")
	flags.add(a, cmd, "prometheusrule, plain (for rule_files) or inhibit (for Alertmanager)")

	return cmd
}

// printRules prints rules in the format of --output. They alone have a table.
func (a *app) printRules(cmd *cobra.Command, form any, groups []monitoringv1.RuleGroup) error {
	if format := a.output; !cmd.Flags().Changed("output") || (format != "table" && format != "wide") {
		return a.printManifest(cmd, form, "yaml")
	}

	printer, err := output.NewLocal(a.output, a.stdout, output.Titles("ALERT", "FOR", "SEVERITY", "EXPRESSION", "+SUMMARY", "+DESCRIPTION"))
	if err != nil {
		return err
	}

	item := output.Item{Value: form}

	for _, group := range groups {
		for _, rule := range group.Rules {
			lasting := "0s"
			if rule.For != nil {
				lasting = string(*rule.For)
			}

			item.Rows = append(item.Rows, output.Row{Cells: []string{
				rule.Alert, lasting, rule.Labels["severity"], rule.Expr.String(), rule.Annotations["summary"], rule.Annotations["description"],
			}})
		}
	}

	if inhibition, ok := form.(alerts.Inhibition); ok {
		for _, rule := range inhibition.Rules {
			item.Rows = append(item.Rows, output.Row{Cells: []string{
				strings.Join(rule.Sources, ","), "", "", "inhibits " + strings.Join(rule.Targets, ",") + " of equal " + strings.Join(rule.Equal, ", "),
			}})
		}
	}

	return printer.Print(item)
}

// inForce returns the configuration of a file, or the one that all nodes have.
func (a *app) inForce(ctx context.Context, path string) (config.Config, error) {
	if path != "" {
		return readDocument(path)
	}

	fleet, err := a.open(a.Options)
	if err != nil {
		return config.Config{}, err
	}

	defer fleet.Close() //nolint:errcheck // the command ends

	outcome := outcome{of: len(fleet.Nodes()), judging: true}
	document, from := "", ""

	for _, result := range gather(ctx, a, fleet, (*client.Node).Config) {
		outcome.add(result.Err)

		switch {
		case result.Err != nil:
		case from == "":
			document, from = result.Value.Document, result.Node.Name
		case document != result.Value.Document:
			return config.Config{}, fmt.Errorf("%s and %s have different configurations: compare them with the command config, or select nodes with --nodes", from, result.Node.Name)
		}
	}

	// Rules without a node's thresholds would never fire for it.
	if err := outcome.err(); err != nil {
		return config.Config{}, err
	}

	return config.Parse([]byte(document))
}

// readDocument reads a configuration from a file of either kind.
func readDocument(path string) (config.Config, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return config.Config{}, fmt.Errorf("failed to read the configuration: %w", err)
	}

	documents, err := config.Find(file)
	if err != nil {
		return config.Config{}, fmt.Errorf("invalid configuration %s: %w", path, err)
	}

	// A later document of a machine configuration replaces an earlier one.
	cfg, err := config.Parse(documents[len(documents)-1].Document)
	if err != nil {
		return config.Config{}, fmt.Errorf("invalid configuration %s: %w", path, err)
	}

	return cfg, nil
}
