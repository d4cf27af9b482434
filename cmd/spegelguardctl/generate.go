// SPDX-License-Identifier: MPL-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/config/container"
	"github.com/siderolabs/talos/pkg/machinery/config/encoder"
	"github.com/siderolabs/talos/pkg/machinery/config/types/runtime/extensions"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v4"

	"github.com/spegel-guard/spegel-guard/internal/alerts"
	"github.com/spegel-guard/spegel-guard/pkg/config"
)

// generated has the flags of config generate: fields of the document by name, and values of the rules.
type generated struct {
	fields                          map[string]*string
	cpu, tx, alloc, lasting, window string
}

// generateFields are the fields that have a flag.
var generateFields = []struct{ flag, field, help string }{
	{"mode", "mode", "observe or enforce"},
	{"interval", "interval", "sampling interval, 100ms to 1m"},
	{"namespace", "target.namespace", "namespace of the target pods (default any)"},
	{"ceiling", "ceiling.cpu", "ceiling in cores, such as 500m"},
	{"floor", "ceiling.floor", "lowest ceiling that is written"},
	{"hold", "ceiling.hold", "minimum time that a ceiling stays"},
	{"release-after", "ceiling.releaseAfter", "how long all enforced rules must be quiet before a ceiling is released"},
	{"on-stop", "ceiling.onStop", "what to do with a ceiling when the service stops: release or keep"},
	{"metrics", "metrics.listen", "address of the guard's own metrics, such as :9470; not encrypted without metrics.tls"},
}

func (a *app) generateCommand() *cobra.Command {
	g := generated{fields: map[string]*string{}}

	cmd := &cobra.Command{
		Use:   "generate",
		Short: "Print an ExtensionServiceConfig document for thresholds",
		Long: `Print an ExtensionServiceConfig document for thresholds, for talosctl patch mc -p @FILE. A field without a flag keeps
its default and is not in the document. With a flag for a rule the document has all default rules.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.prints(cmd, "yaml"); err != nil {
				return err
			}

			return g.write(cmd.Flags(), a.stdout)
		},
	}

	for _, f := range generateFields {
		g.fields[f.field] = cmd.Flags().String(f.flag, "", f.help)
	}

	cmd.Flags().StringVar(&g.cpu, "cpu", "", "threshold of "+alerts.HighCPU+" and the CPU that its credit earns, such as 550m")
	cmd.Flags().StringVar(&g.tx, "tx", "", "threshold of "+alerts.HighTX+", such as 1M/s; that rule is in mode observe")
	cmd.Flags().StringVar(&g.alloc, "alloc", "", "threshold of "+alerts.HighAllocation+", such as 1G/min; that rule is in mode observe")
	cmd.Flags().StringVar(&g.lasting, "for", "", "how long the threshold of "+alerts.HighCPU+" must be exceeded, such as 10m")
	cmd.Flags().StringVar(&g.window, "window", "", "period of the average of the rules that lead to a ceiling, such as 1m")

	a.complete(cmd, "mode", fixed(string(config.ModeObserve), string(config.ModeEnforce)))
	a.complete(cmd, "on-stop", fixed("release", "keep"))

	return cmd
}

func (g generated) write(flags *pflag.FlagSet, w io.Writer) error {
	document, err := g.document(flags)
	if err != nil {
		return err
	}

	service := extensions.NewServicesConfigV1Alpha1()
	service.ServiceName = config.ServiceName
	service.ServiceConfigFiles = extensions.ConfigFileList{{ConfigFileContent: string(document), ConfigFileMountPath: config.Path}}

	machine, err := container.New(service)
	if err != nil {
		return fmt.Errorf("failed to create the machine configuration: %w", err)
	}

	text, err := machine.EncodeBytes(encoder.WithComments(encoder.CommentsDisabled))
	if err != nil {
		return fmt.Errorf("failed to write the machine configuration: %w", err)
	}

	_, err = w.Write(text)

	return err
}

// document returns the document of the flags that are set. The error names each wrong field.
func (g generated) document(flags *pflag.FlagSet) ([]byte, error) {
	root := mapping("apiVersion", config.APIVersion, "kind", config.Kind)

	for _, f := range generateFields {
		if flags.Changed(f.flag) {
			set(root, f.field, *g.fields[f.field])
		}
	}

	return g.encode(root)
}

// encode returns the document with the rules. The error names each wrong field.
func (g generated) encode(root *yaml.Node) ([]byte, error) {
	if rules := g.rules(); rules != nil {
		root.Content = append(root.Content, scalar("rules"), rules)
	}

	text, err := yaml.Marshal(root)
	if err != nil {
		return nil, fmt.Errorf("failed to write the document: %w", err)
	}

	_, err = config.Parse(text)

	var wrong config.Errors

	if errors.As(err, &wrong) {
		// The document is no file of the user's, so that its lines mean nothing.
		seen := map[config.FieldError]bool{}

		for _, e := range wrong {
			e.Line, e.Field = 0, flagOf(e.Field)
			seen[e] = true
		}

		// A flag that several rules have is reported once.
		return nil, config.Errors(slices.SortedFunc(maps.Keys(seen), func(a, b config.FieldError) int { return cmp.Compare(a.Field, b.Field) }))
	}

	return text, err
}

// ruleFlags are the flags for values of the default rules.
var ruleFlags = map[config.Signal]string{config.SignalCPU: "--cpu", config.SignalNetworkTX: "--tx", config.SignalAllocation: "--alloc"}

// flagOf returns the flag that sets a field of the document, or the field if none does.
func flagOf(field string) string {
	for _, f := range generateFields {
		if f.field == field {
			return "--" + f.flag
		}
	}

	for i, rule := range config.Default().Rules {
		name, found := strings.CutPrefix(field, fmt.Sprintf("rules[%d].", i))

		switch {
		case !found:
		case name == "threshold", name == "credit.earn":
			return ruleFlags[rule.Signal]
		case name == "for", name == "window":
			return "--" + name
		}
	}

	return field
}

// rules returns the default rules with the flags' values; nil without such a flag. The time and the window are for the rules
// that lead to a ceiling: the others keep theirs.
func (g generated) rules() *yaml.Node {
	if g.cpu+g.tx+g.alloc+g.lasting+g.window == "" {
		return nil
	}

	list := &yaml.Node{Kind: yaml.SequenceNode}
	thresholds := map[config.Signal]string{config.SignalCPU: g.cpu, config.SignalNetworkTX: g.tx, config.SignalAllocation: g.alloc}

	for _, rule := range config.Default().Rules {
		node := mapping("name", rule.Name)
		lasting, window := rule.For.String(), ""

		if rule.Mode == config.ModeObserve {
			node.Content = append(node.Content, mapping("mode", string(rule.Mode)).Content...)
		} else {
			lasting, window = cmp.Or(g.lasting, lasting), g.window
		}

		node.Content = append(node.Content, mapping("signal", string(rule.Signal)).Content...)
		threshold := cmp.Or(thresholds[rule.Signal], rule.Threshold.String(), rule.Credit.Earn.String())

		if rule.Credit.IsZero() {
			node.Content = append(node.Content, mapping("threshold", threshold, "for", lasting).Content...)
		} else {
			node.Content = append(node.Content, scalar("credit"), mapping("earn", threshold, "capacity", rule.Credit.Capacity.String()))
		}

		if window != "" {
			node.Content = append(node.Content, scalar("window"), scalar(window))
		}

		list.Content = append(list.Content, node)
	}

	return list
}

func scalar(text string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: text} }

func mapping(pairs ...string) *yaml.Node {
	node := &yaml.Node{Kind: yaml.MappingNode}

	for _, text := range pairs {
		node.Content = append(node.Content, scalar(text))
	}

	return node
}

// set sets the value at a path of one or two names.
func set(root *yaml.Node, field, value string) {
	names := strings.Split(field, ".")
	node := root

	for _, name := range names[:len(names)-1] {
		i := slices.IndexFunc(node.Content, func(n *yaml.Node) bool { return n.Value == name })
		if i < 0 {
			node.Content = append(node.Content, scalar(name), mapping())
			i = len(node.Content) - 2
		}

		node = node.Content[i+1]
	}

	node.Content = append(node.Content, scalar(names[len(names)-1]), scalar(value))
}
