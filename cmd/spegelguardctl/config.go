// SPDX-License-Identifier: MPL-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/dustin/go-humanize/english"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/spf13/cobra"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	"github.com/spegel-guard/spegel-guard/internal/printable"
	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

func (a *app) configCommand() *cobra.Command {
	var watch bool

	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show the configuration in force and the origin of each value",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := query[*client.Config]{
				columns: output.Titles("FIELD", "VALUE", "ORIGIN"), question: (*client.Node).Config, rows: configRows,
			}

			return q.run(cmd.Context(), a, watch, resources.GuardConfigType)
		},
	}

	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "continue and print each change")
	cmd.AddCommand(a.validateCommand(), a.generateCommand(), a.suggestCommand())

	return cmd
}

// maxSource bounds the source in the origin of each value, in bytes: it is the path of a file.
const maxSource = 1024

func configRows(c *client.Config) []output.Row {
	var rows []output.Row

	source := printable.Clip(c.Source, maxSource)

	if c.LastError != "" {
		rows = append(rows, output.Row{Severity: output.Bad, Cells: []string{"(newest document)", "not applied", c.LastError}})
	}

	for _, s := range c.Settings {
		origin := s.Origin
		if origin != resources.OriginDefault {
			origin = source + ", " + origin
		}

		rows = append(rows, output.Row{Cells: []string{s.Field, s.Value, origin}})
	}

	return rows
}

func (a *app) validateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "validate FILE",
		Short: "Find every mistake in a configuration file",
		Long: `Find every mistake in a configuration file, without contacting a node. FILE is the guard's document, or a Talos
machine configuration (or patch) that contains an ExtensionServiceConfig for the guard; - is the standard input. Lines are those
of the file.`,
		Example: "  spegelguardctl config validate guard.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := readFile(cmd.InOrStdin(), args[0])
			if err != nil {
				return fmt.Errorf("failed to read the configuration: %w", err)
			}

			if args[0] == "-" {
				args[0] = "the standard input"
			}

			mistakes, err := mistakesIn(file)
			if err != nil {
				return fmt.Errorf("invalid configuration %s: %w", args[0], err)
			}

			return a.report(args[0], mistakes)
		},
	}
}

// readFile reads a file, or the standard input for a dash.
func readFile(stdin io.Reader, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(stdin)
	}

	return os.ReadFile(name)
}

// mistake is one wrong field.
type mistake struct {
	Line    int    `json:"line"`
	Field   string `json:"field"`
	Value   string `json:"value"`
	Allowed string `json:"allowed"`
}

// mistakesIn returns every mistake. The error is about a file that cannot be parsed.
func mistakesIn(file []byte) ([]mistake, error) {
	misplaced, err := config.MisplacedFiles(file)
	if err != nil {
		return nil, err
	}

	var found []mistake

	for _, e := range misplaced {
		found = append(found, mistake(e))
	}

	documents, err := config.Find(file)

	switch {
	case errors.Is(err, config.ErrNoDocument) && len(found) > 0:
		// The document may be one of these files.
		return found, nil
	case err != nil:
		return nil, err
	}

	// Mistakes in Talos' own documents.
	if len(documents) != 1 || documents[0].Offset > 0 {
		if _, err := configloader.NewFromBytes(file); err != nil {
			found = append(found, mistake{Field: "(Talos' documents)", Allowed: strings.Join(strings.Fields(err.Error()), " ")})
		}
	}

	for _, document := range documents {
		_, err := config.Parse(document.Document)

		var wrong config.Errors

		switch {
		case errors.As(err, &wrong):
		case err != nil && document.Offset > 0:
			return nil, fmt.Errorf("in the document that begins on line %d: %w", document.Offset+1, err)
		case err != nil:
			return nil, err
		}

		for _, e := range wrong {
			if e.Line > 0 {
				e.Line += document.Offset
			}

			found = append(found, mistake(e))
		}
	}

	return found, nil
}

func (a *app) report(path string, mistakes []mistake) error {
	printer, err := output.NewLocal(a.output, a.stdout, output.Titles("LINE", "FIELD", "VALUE", "ALLOWED"))
	if err != nil {
		return err
	}

	if len(mistakes) == 0 {
		a.note("%s is valid", path)

		return nil
	}

	item := output.Item{Value: map[string]any{"file": path, "mistakes": mistakes}}

	for _, m := range mistakes {
		line := ""
		if m.Line > 0 {
			line = fmt.Sprint(m.Line)
		}

		item.Rows = append(item.Rows, output.Row{Severity: output.Bad, Cells: []string{line, m.Field, m.Value, m.Allowed}})
	}

	if err := printer.Print(item); err != nil {
		return err
	}

	return fmt.Errorf("%s in %s", english.Plural(len(mistakes), "mistake", ""), path)
}
