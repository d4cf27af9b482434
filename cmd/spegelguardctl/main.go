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
	err := run(newApp())
	if err != nil && err.Error() != "" {
		fmt.Fprintln(os.Stderr, "spegelguardctl:", printable.Lines(err.Error()))
	}

	os.Exit(exitCode(err))
}

func run(a *app) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	// The second signal ends what does not follow the context, such as a read of the standard input.
	context.AfterFunc(ctx, stop)

	return a.root().ExecuteContext(ctx)
}
