// SPDX-License-Identifier: MPL-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	"github.com/spf13/cobra"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	"github.com/spegel-guard/spegel-guard/pkg/client"
)

// Exit codes.
const (
	// exitThrottled: a ceiling is in force somewhere.
	exitThrottled = 2
	// exitUnavailable: a guard cannot do its work, or a node does not answer.
	exitUnavailable = 3
)

// exitError is an exit code of its own; without an error nothing is printed.
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

// exitCode of an error.
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

// app is what all commands share.
type app struct {
	client.Options

	output         string
	stdout, stderr io.Writer
	now            func() time.Time
	// open connects to the nodes; tests come in here.
	open func(client.Options) (*client.Fleet, error)
}

func newApp() *app {
	return &app{stdout: os.Stdout, stderr: os.Stderr, now: time.Now, open: client.Open}
}

// root is the command line.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "spegelguardctl",
		Short: "Look after the guards of spegel",
		Long: `Look after the guards of spegel on the nodes of a Talos cluster.

Credentials and nodes come from the talosconfig, as with talosctl. Each node's guard is asked directly, at port
50321; with --endpoints requests go through these, which must forward (api.forward in their configuration).

Exit codes: 0 all is well, 1 the command failed, 2 a ceiling is in force, 3 a guard is unavailable or not reachable.`,
		// A failing command says what failed; how commands are written is not the answer to that.
		SilenceUsage: true, SilenceErrors: true,
	}

	root.SetOut(a.stdout)
	root.SetErr(a.stderr)

	flags := root.PersistentFlags()
	flags.StringVar(&a.Talosconfig, "talosconfig", "", "path of the talosconfig (default $TALOSCONFIG, or ~/.talos/config)")
	flags.StringVar(&a.Context, "context", "", "context of the talosconfig (default its current one)")
	flags.StringSliceVarP(&a.Endpoints, "endpoints", "e", nil, "guards that forward requests to the nodes (default: each node is asked directly)")
	flags.StringSliceVarP(&a.Nodes, "nodes", "n", nil, "nodes to ask; all is those of the context (default all)")
	flags.DurationVar(&a.Timeout, "timeout", client.DefaultTimeout, "how long a node may take for its answer")
	flags.StringVarP(&a.output, "output", "o", "table", output.Formats)

	a.complete(root, "context", contexts)
	a.complete(root, "nodes", nodes)
	a.complete(root, "endpoints", endpoints)
	a.complete(root, "output", func(*app) []string { return []string{"table", "wide", "yaml", "json", "jsonpath="} })

	root.AddCommand(
		a.statusCommand(), a.explainCommand(), a.historyCommand(), a.eventsCommand(), a.compareCommand(), a.topCommand(),
		a.configCommand(), a.rulesCommand(), a.dashboardCommand(), a.doctorCommand(), a.supportCommand(), a.replayCommand(), a.versionCommand(),
	)
	root.AddCommand(a.orderCommands()...)

	return root
}

// complete completes a flag with words from the talosconfig.
func (a *app) complete(cmd *cobra.Command, flag string, words func(*app) []string) {
	// The only error is a flag that is not there.
	_ = cmd.RegisterFlagCompletionFunc(flag, func(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		var found []string

		for _, word := range words(a) {
			if strings.HasPrefix(word, begun) {
				found = append(found, word)
			}
		}

		return found, cobra.ShellCompDirectiveNoFileComp
	})
}

func contexts(a *app) []string {
	config, err := clientconfig.Open(a.Talosconfig)
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

// start makes what a command on nodes needs; mistakes in how it is written come before any connection.
func (a *app) start(columns []output.Column) (output.Printer, *client.Fleet, error) {
	printer, err := output.New(a.output, a.stdout, columns)
	if err != nil {
		return nil, nil, err
	}

	fleet, err := a.open(a.Options)

	return printer, fleet, err
}

// note says something beside the output.
func (a *app) note(format string, args ...any) {
	fmt.Fprintf(a.stderr, format+"\n", args...) //nolint:errcheck // nowhere left to say it
}
