// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/spegel-guard/spegel-guard/internal/support"
	"github.com/spegel-guard/spegel-guard/pkg/client"
)

func (a *app) supportCommand() *cobra.Command {
	var path string

	cmd := &cobra.Command{
		Use:   "support",
		Short: "Write an archive of everything that guards serve",
		Long: `Write an archive of everything that guards serve: status, explanation, checks, history, events and every resource of
every node. Private keys, JSON web tokens, passwords in URLs and values that are named like a secret are left out. Read the
archive before you send it: a secret of another form stays in it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.support(cmd.Context(), path) },
	}

	cmd.Flags().StringVarP(&path, "archive", "O", "spegel-guard-support.zip", "path of the archive")

	return cmd
}

func (a *app) support(ctx context.Context, path string) error {
	fleet, err := a.open(a.Options)
	if err != nil {
		return err
	}

	defer fleet.Close() //nolint:errcheck // the command ends

	// An earlier archive is kept.
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("failed to create the archive (choose another path with --archive): %w", err)
	}

	bundle := support.NewBundle(file, a.now())

	outcome, err := a.collect(ctx, fleet, bundle)
	if err != nil {
		return err
	}

	if err := bundle.Close(version); err != nil {
		return err
	}

	if err := file.Close(); err != nil {
		return fmt.Errorf("failed to write the archive: %w", err)
	}

	a.note("%s has the data of %d of %d nodes", path, len(fleet.Nodes())-len(outcome.failed), len(fleet.Nodes()))

	return outcome.err()
}

// collect adds what all nodes serve to the archive.
func (a *app) collect(ctx context.Context, fleet *client.Fleet, bundle *support.Bundle) (outcome, error) {
	outcome := outcome{of: len(fleet.Nodes())}
	progress := a.progress(len(fleet.Nodes()))

	defer progress.end()

	for result := range client.Ask(ctx, fleet, counted(progress, support.Collect)) {
		outcome.add(result.Err)

		if err := bundle.Add(result.Node.Name, result.Value, result.Err); err != nil {
			return outcome, err
		}
	}

	return outcome, nil
}
