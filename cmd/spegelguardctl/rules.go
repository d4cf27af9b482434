// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/spf13/cobra"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	"github.com/spegel-guard/spegel-guard/internal/alerts"
	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/config"
)

// ruleForms are the values of --form.
var ruleForms = []string{"prometheusrule", "plain", "inhibit"}

func (a *app) rulesCommand() *cobra.Command {
	var (
		path, form, namespace string
		options               alerts.Options
	)

	cmd := &cobra.Command{
		Use:   "rules",
		Short: "Print Prometheus alerting rules for the thresholds in force",
		Long: `Print Prometheus alerting rules for the thresholds in force: an alert for each rule, and alerts on the guards
themselves.
With --form inhibit, print the part of Alertmanager's configuration that silences CPUThrottlingHigh under a ceiling.

The thresholds are those of all nodes, which must be the same, or those of the document of --config. The alerts on
guards need the guards' own metrics (metrics.listen). The output is YAML unless --output is set.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(ruleForms, form) {
				return fmt.Errorf("invalid --form %q: must be prometheusrule, plain or inhibit", form)
			}

			if !cmd.Flags().Changed("output") {
				a.output = "yaml"
			}

			if form == "inhibit" {
				return a.printRules(alerts.Inhibit(), nil)
			}

			cfg, err := a.inForce(cmd.Context(), path)
			if err != nil {
				return err
			}

			groups, unexpressed := alerts.Groups(cfg, options)

			for _, rule := range unexpressed {
				a.note("rule %s has no alert: %s", rule.Rule, rule.Reason)
			}

			switch form {
			case "prometheusrule":
				return a.printRules(alerts.NewPrometheusRule(namespace, groups), groups)
			default:
				return a.printRules(alerts.RuleFile{Groups: groups}, groups)
			}
		},
	}

	cmd.Flags().StringVar(&path, "config", "", "document or machine configuration with the thresholds; no node is contacted")
	cmd.Flags().StringVar(&form, "form", "prometheusrule", "prometheusrule, plain (for rule_files) or inhibit (for Alertmanager)")
	cmd.Flags().StringVar(&namespace, "namespace", "", "namespace of the PrometheusRule")
	cmd.Flags().StringVar(&options.Pods, "pods", alerts.DefaultPods, "regular expression of the names of spegel's pods")
	a.complete(cmd, "form", func(*app) []string { return ruleForms })

	return cmd
}

func (a *app) printRules(form any, groups []monitoringv1.RuleGroup) error {
	// YAML as Kubernetes' tools write it.
	if a.output == "yaml" {
		text, err := alerts.YAML(form)
		if err != nil {
			return err
		}

		_, err = a.stdout.Write(text)

		return err
	}

	printer, err := output.NewLocal(a.output, a.stdout, output.Titles("ALERT", "FOR", "SEVERITY", "EXPRESSION", "+SUMMARY"))
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
				rule.Alert, lasting, rule.Labels["severity"], rule.Expr.String(), rule.Annotations["summary"],
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

	for _, result := range client.Gather(ctx, fleet, (*client.Node).Config) {
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
