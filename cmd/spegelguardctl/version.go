// SPDX-License-Identifier: MPL-2.0

package main

import (
	"runtime/debug"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/spf13/cobra"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	"github.com/spegel-guard/spegel-guard/pkg/client"
)

// version of this command, set by the linker.
var version = "dev"

// init gives a command that go install built the version of its module. The linker sets no variable that a function initializes.
func init() {
	if info, ok := debug.ReadBuildInfo(); ok && version == "dev" && info.Main.Version != "" && info.Main.Version != "(devel)" {
		version = info.Main.Version
	}
}

func (a *app) versionCommand() *cobra.Command {
	var local bool

	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show the versions of this command and of every guard",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			columns := output.Titles("VERSION", "+TALOS API", "+ARCH")

			own := output.Item{Node: ownName, Value: map[string]string{"version": version}, Rows: []output.Row{{Cells: []string{version}}}}

			if local {
				printer, err := output.New(a.output, a.stdout, columns)
				if err != nil {
					return err
				}

				return printer.Print(own)
			}

			return query[*machine.Version]{
				columns: columns, first: []output.Item{own}, question: (*client.Node).Version,
				rows: func(v *machine.Version) []output.Row {
					return []output.Row{{Cells: []string{client.GuardVersion(v), v.GetVersion().GetTag(), v.GetVersion().GetArch()}}}
				},
			}.ask(cmd.Context(), a)
		},
	}

	cmd.Flags().BoolVar(&local, "client", false, "show the version of this command only")

	return cmd
}
