// SPDX-License-Identifier: MPL-2.0

package main

import (
	"errors"
	"fmt"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/spf13/cobra"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/top"
)

func (a *app) topCommand() *cobra.Command {
	var interval time.Duration

	cmd := &cobra.Command{
		Use:   "top",
		Short: "Show all nodes live on the terminal",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.output != "table" && a.output != "wide" {
				return fmt.Errorf("invalid --output %q: must be table, because top is for a terminal (use status --watch)", a.output)
			}

			fleet, err := a.open(a.Options)
			if err != nil {
				return err
			}

			defer fleet.Close() //nolint:errcheck // the command ends

			program := tea.NewProgram(top.New(cmd.Context(), fleet, interval, a.Timeout, a.now()), tea.WithAltScreen(), tea.WithContext(cmd.Context()))

			if _, err := program.Run(); err != nil && !errors.Is(err, tea.ErrProgramKilled) {
				return err
			}

			return nil
		},
	}

	interval = time.Second
	cmd.Flags().Var(positive{&interval}, "interval", "time between two requests to a node")

	return cmd
}
