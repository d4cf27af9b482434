// Command spegelguardctl is the command line for people who look after guards.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "spegelguardctl:", err)
		os.Exit(1)
	}
}

func run() error {
	root := &cobra.Command{
		Use:   "spegelguardctl",
		Short: "Look after the guards of spegel",
		// A failing command says what failed; how commands are written is not the answer to that.
		SilenceUsage: true, SilenceErrors: true,
	}

	root.AddCommand(newReplayCommand())

	return root.Execute()
}
