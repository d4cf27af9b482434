// SPDX-License-Identifier: MPL-2.0

// Command spegelguardctl is the command line for people who look after guards.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/noquery"
	"github.com/spegel-guard/spegel-guard/internal/printable"
)

func init() { noquery.Restore() }

func main() {
	err := run()
	if err != nil && err.Error() != "" {
		fmt.Fprintln(os.Stderr, "spegelguardctl:", printable.Lines(err.Error()))
	}

	os.Exit(exitCode(err))
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	return newApp().root().ExecuteContext(ctx)
}
