// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	"github.com/spegel-guard/spegel-guard/internal/manifest"
	"github.com/spegel-guard/spegel-guard/internal/words"
)

// manifestFlags are the flags of a command that prints configuration for Prometheus, Alertmanager or Grafana.
type manifestFlags struct {
	form      string
	placement manifest.Placement
	// forms are the values of form. object is the one of a Kubernetes object, which alone has a namespace and labels.
	forms  []string
	object string
}

// add defines the flags. The first form is the default.
func (f *manifestFlags) add(a *app, cmd *cobra.Command, usage string) {
	cmd.Flags().StringVar(&f.form, "form", f.forms[0], usage)
	cmd.Flags().StringVar(&f.placement.Namespace, "namespace", "", "namespace of the object")
	cmd.Flags().StringToStringVar(&f.placement.Labels, "label", nil, "label `KEY=VALUE` of the object, such as release=kube-prometheus-stack; can be repeated")
	cmd.Flags().Lookup("label").DefValue = "" // pflag would print []
	a.complete(cmd, "form", func(*app) []string { return f.forms })
}

// check reports mistakes in the flags.
func (f *manifestFlags) check(cmd *cobra.Command) error {
	if !slices.Contains(f.forms, f.form) {
		return fmt.Errorf("invalid --form %q: must be %s", f.form, words.Or(f.forms))
	}

	for _, name := range []string{"namespace", "label"} {
		if cmd.Flags().Changed(name) && f.form != f.object {
			return fmt.Errorf("invalid --%s: --form %s has none, only %s", name, f.form, f.object)
		}
	}

	return f.placement.Validate()
}

// printManifest prints an object in the format of --output, without the flag in the given one.
func (a *app) printManifest(cmd *cobra.Command, object any, format string) error {
	if cmd.Flags().Changed("output") {
		format = a.output
	}

	switch format {
	case "yaml":
		// As Kubernetes' tools write it.
		text, err := manifest.YAML(object)
		if err != nil {
			return err
		}

		_, err = a.stdout.Write(text)

		return err
	case "table", "wide":
		return fmt.Errorf("invalid --output %q: %s prints yaml, json or jsonpath=TEMPLATE", format, cmd.Name())
	default:
		printer, err := output.NewLocal(format, a.stdout, nil)
		if err != nil {
			return err
		}

		return printer.Print(output.Item{Value: object})
	}
}
