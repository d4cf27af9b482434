// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/term"
	"github.com/spf13/cobra"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/top"
	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/config"
)

// topOptions are the flags of top.
type topOptions struct {
	interval        time.Duration
	by              top.Column
	once, noHeaders bool
}

func (a *app) topCommand() *cobra.Command {
	options := topOptions{interval: time.Second, by: top.ColumnCPU}

	cmd := &cobra.Command{
		Use:   "top",
		Short: "Show all nodes live on the terminal",
		Long: `Show all nodes live on the terminal, with the history of one: usage, threshold and ceiling. Press ? for the keys.

With --once, print the table and exit, as kubectl top does. The exit codes are those of status.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case options.once && cmd.Flags().Changed("interval"):
				return errors.New("invalid --interval: --once reads each node once")
			case options.once:
				return a.topOnce(cmd.Context(), options)
			case options.noHeaders:
				return errors.New("invalid --no-headers: it needs --once")
			case a.output != "table" && a.output != "wide":
				return fmt.Errorf("invalid --output %q: must be table, because top is for a terminal (use top --once or status --watch)", a.output)
			}

			return a.topLive(cmd.Context(), options)
		},
	}

	cmd.Flags().Var(positive{&options.interval}, "interval", "time between two requests to a node")
	cmd.Flags().Var(&options.by, "sort-by", "column to sort by: "+top.ColumnNames())
	cmd.Flags().BoolVar(&options.once, "once", false, "print the table once and exit, without a terminal")
	cmd.Flags().BoolVar(&options.noHeaders, "no-headers", false, "print no titles with --once")

	a.complete(cmd, "sort-by", func(*app) []string {
		var names []string

		for _, column := range top.Columns() {
			names = append(names, string(column))
		}

		return names
	})

	return cmd
}

// topLive shows the nodes until a key ends it.
func (a *app) topLive(ctx context.Context, options topOptions) error {
	if terminal, ok := a.stdout.(*os.File); !ok || !term.IsTerminal(terminal.Fd()) {
		return errors.New("the output is not a terminal: use top --once, or status --watch")
	}

	fleet, err := a.open(a.Options)
	if err != nil {
		return err
	}

	defer fleet.Close() //nolint:errcheck // the command ends

	if err := followable(fleet); err != nil {
		return err
	}

	model := top.New(ctx, fleet, options.by, options.interval, a.Timeout, a.now())

	if _, err := tea.NewProgram(model, tea.WithAltScreen(), tea.WithContext(ctx)).Run(); err != nil && !errors.Is(err, tea.ErrProgramKilled) {
		return err
	}

	return nil
}

// topOnce prints the sorted table.
func (a *app) topOnce(ctx context.Context, options topOptions) error {
	newPrinter := output.New
	if options.noHeaders {
		newPrinter = output.NewWithoutTitles
	}

	printer, err := newPrinter(a.output, a.stdout,
		output.Titles("STATE", "CPU", "CEILING", "TX", "ALLOC", "RULE", "+THROTTLED", "+RX", "+PRESSURE", "+TARGET"))
	if err != nil {
		return err
	}

	fleet, err := a.open(a.Options)
	if err != nil {
		return err
	}

	defer fleet.Close() //nolint:errcheck // the command ends

	outcome := outcome{of: len(fleet.Nodes()), judging: true}

	var results []client.Result[*client.Status]

	for _, result := range gather(ctx, a, fleet, (*client.Node).Status) {
		outcome.add(result.Err)

		if result.Err == nil {
			results = append(results, result)
			outcome.code = max(outcome.code, codeOf(result.Value.State))
		}
	}

	top.Sort(results, options.by)

	var items []output.Item

	for _, result := range results {
		items = append(items, output.Item{Node: result.Node.Name, Value: result.Value, Rows: []output.Row{topRow(result.Value)}})
	}

	if err := outcome.show(func() error { return printer.Print(items...) }); err != nil {
		return err
	}

	return outcome.err()
}

func topRow(s *client.Status) output.Row {
	target := s.Worst()

	return output.Row{Severity: output.SeverityOf(s.State), Cells: []string{
		s.State, reading(config.SignalCPU, target.CPU), ceilingInForce(target.Ceiling), reading(config.SignalNetworkTX, target.TXBytesPerSecond),
		reading(config.SignalAllocation, target.Application.AllocBytesPerSecond), target.LoudestRule(),
		reading(config.SignalThrottled, target.ThrottledRatio), reading(config.SignalNetworkRX, target.RXBytesPerSecond),
		reading(config.SignalThrottled, target.CPUPressure), target.ID,
	}}
}
