// SPDX-License-Identifier: MPL-2.0

//go:build man

package main

import (
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manCommand writes the manual. It is part of builds with the tag man only: nobody needs the generator on a node.
func manCommand() *cobra.Command {
	var date string

	cmd := &cobra.Command{
		Use:    "man FOLDER",
		Short:  "Write the manual pages to a folder",
		Args:   cobra.ExactArgs(1),
		Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := time.Parse(time.DateOnly, date)
			if err != nil {
				return err
			}

			root := cmd.Root()
			root.DisableAutoGenTag = true

			return doc.GenManTree(root, &doc.GenManHeader{Title: "SPEGELGUARDCTL", Section: "1", Source: "spegel-guard " + version, Date: &at}, args[0])
		},
	}

	cmd.Flags().StringVar(&date, "date", "1970-01-01", "date of the pages")

	return cmd
}

func init() { extra = append(extra, manCommand) }
