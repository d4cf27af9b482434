// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	"github.com/spegel-guard/spegel-guard/internal/printable"
	"github.com/spegel-guard/spegel-guard/pkg/client"
)

// Exit codes.
const (
	// exitThrottled: a ceiling limits a workload somewhere, or is lifted briefly to measure its demand.
	exitThrottled = 2
	// exitUnavailable: a guard is unavailable, or a node cannot be reached.
	exitUnavailable = 3
)

// exitError is an error with an exit code; without an error nothing is printed.
type exitError struct {
	code int
	err  error
}

// Error implements error.
func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}

	return e.err.Error()
}

// Unwrap returns the error itself.
func (e *exitError) Unwrap() error { return e.err }

// exitCode returns the exit code of an error.
func exitCode(err error) int {
	var exit *exitError

	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.code
	default:
		return 1
	}
}

// extra are commands of builds with a tag.
var extra []func() *cobra.Command

// app is what all commands share.
type app struct {
	client.Options

	output         string
	stdout, stderr io.Writer
	now            func() time.Time
	pace           pace
	// open connects to the nodes; tests replace it.
	open func(client.Options) (*client.Fleet, error)
}

func newApp() *app {
	return &app{stdout: os.Stdout, stderr: os.Stderr, now: time.Now, pace: usualPace, open: client.Open}
}

// root returns the root command.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "spegelguardctl",
		Short: "Inspect and control spegel-guard on Talos nodes",
		Long: `Inspect and control spegel-guard on the nodes of a Talos cluster.

Credentials and nodes come from the talosconfig, as with talosctl. Each node's guard is contacted directly at port
50321. With --endpoints, requests go through these guards, which must forward (api.forward in their configuration).

Exit codes: 0 success, 1 the command failed, 2 a ceiling limits a workload (status,
top --once), 3 a guard is unavailable or cannot be reached.`,
		// An error of a command names the mistake; the usage would hide it.
		SilenceUsage: true, SilenceErrors: true,
		// The flag --version.
		Version: version,
	}

	root.SetOut(a.stdout)
	root.SetErr(a.stderr)

	flags := root.PersistentFlags()
	flags.StringVar(&a.Talosconfig, "talosconfig", "", "path of the talosconfig (default $TALOSCONFIG, or ~/.talos/config)")
	flags.StringVar(&a.Context, "context", "", "context of the talosconfig (default its current one)")
	flags.StringSliceVarP(&a.Endpoints, "endpoints", "e", nil, "guards that forward requests to the nodes (default none: each node is contacted directly)")
	flags.StringSliceVarP(&a.Nodes, "nodes", "n", nil, "nodes to contact; all selects those of the context (default all)")
	a.Timeout = client.DefaultTimeout
	flags.Var(positive{&a.Timeout}, "timeout", "time limit for the response of a node, from when its turn comes")
	flags.StringVarP(&a.output, "output", "o", "table", output.Formats)

	a.complete(root, "context", contexts)
	a.complete(root, "nodes", nodes)
	a.complete(root, "endpoints", endpoints)
	a.complete(root, "output", func(*app) []string { return []string{"table", "wide", "yaml", "json", "jsonpath="} })

	root.AddCommand(
		a.statusCommand(), a.explainCommand(), a.historyCommand(), a.eventsCommand(), a.compareCommand(), a.reportCommand(), a.topCommand(),
		a.configCommand(), a.rulesCommand(), a.scrapeCommand(), a.dashboardCommand(), a.doctorCommand(), a.captureCommand(), a.supportCommand(), a.replayCommand(), a.versionCommand(),
	)
	root.AddCommand(a.overrideCommands()...)
	root.SetFlagErrorFunc(flagError)
	a.finish(root)

	for _, command := range extra {
		root.AddCommand(command())
	}

	return root
}

// complete registers the completion of a flag.
func (a *app) complete(cmd *cobra.Command, flag string, words func(*app) []string) {
	// The only error is a flag that is not there.
	_ = cmd.RegisterFlagCompletionFunc(flag, a.completion(words, 0))
}

// completion completes words; atMost arguments if it is not 0.
func (a *app) completion(words func(*app) []string, atMost int) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if atMost > 0 && len(args) >= atMost {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}

		var found []string

		for _, word := range words(a) {
			if strings.HasPrefix(word, begun) {
				found = append(found, word)
			}
		}

		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

// fixed returns completion words that depend on nothing.
func fixed(words ...string) func(*app) []string { return func(*app) []string { return words } }

// completionTimeout is how long a shell waits for the targets of nodes.
const completionTimeout = 2 * time.Second

// targets returns the ids of the targets on the selected nodes.
func targets(a *app) []string {
	options := a.Options
	options.Timeout = completionTimeout

	fleet, err := a.open(options)
	if err != nil {
		return nil
	}

	defer fleet.Close() //nolint:errcheck // the command ends

	// The fleet's timeout is that of each node, and many take turns.
	ctx, cancel := context.WithTimeout(context.Background(), completionTimeout)
	defer cancel()

	found := map[string]bool{}

	for _, result := range client.Gather(ctx, fleet, (*client.Node).Targets) {
		for _, id := range result.Value {
			if completes(id) {
				found[id] = true
			}
		}
	}

	return slices.Sorted(maps.Keys(found))
}

// maxCompletion bounds an id that a shell lists, in bytes: the names of a namespace, a pod and a container have at most 381.
const maxCompletion = 512

// completes reports whether a node's id is a word. The scripts of shells print some texts as they are: cobra's messages (active help), and
// what follows a tab.
func completes(id string) bool {
	return id != "" && len(id) <= maxCompletion && id == printable.Line(id) && !strings.ContainsAny(id, " \t") && !strings.HasPrefix(id, "_")
}

// prints returns an error if --output names another format than the only one that a command prints.
func (a *app) prints(cmd *cobra.Command, format string) error {
	if cmd.Flags().Changed("output") && a.output != format {
		return fmt.Errorf("invalid --output %q: %s prints %s only", a.output, cmd.CommandPath(), format)
	}

	return nil
}

func contexts(a *app) []string {
	config, err := client.ReadTalosconfig(a.Talosconfig)
	if err != nil {
		return nil
	}

	var names []string

	for name := range config.Contexts {
		names = append(names, name)
	}

	return names
}

func nodes(a *app) []string {
	context, err := client.ReadContext(a.Talosconfig, a.Context)
	if err != nil {
		return nil
	}

	return append([]string{client.AllNodes}, context.Nodes...)
}

func endpoints(a *app) []string {
	context, err := client.ReadContext(a.Talosconfig, a.Context)
	if err != nil {
		return nil
	}

	return context.Endpoints
}

// start returns what a command on nodes needs. Mistakes in flags are reported before any connection is made.
func (a *app) start(columns []output.Column) (output.Printer, *client.Fleet, error) {
	printer, err := output.New(a.output, a.stdout, columns)
	if err != nil {
		return nil, nil, err
	}

	fleet, err := a.open(a.Options)

	return printer, fleet, err
}

// note prints a line to stderr.
func (a *app) note(format string, args ...any) {
	fmt.Fprintln(a.stderr, printable.Lines(fmt.Sprintf(format, args...))) //nolint:errcheck // there is no other place to report it
}
