// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Command spegel-guard watches the spegel container of a node and writes a CPU ceiling to its cgroup while a rule fires.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spegel-guard/spegel-guard/service/internal/api"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
)

func main() {
	if err := run(); err != nil {
		// Talos shows the last 512 bytes that a failed service has printed (internal/app/machined/pkg/system/runner/internal/lastlog).
		fmt.Fprintln(os.Stderr, "spegel-guard:", err)
		os.Exit(1)
	}
}

// run runs a command and returns its error. The daemon does not fail when it starts, whatever the state of the node: on
// Talos a service that fails to start keeps the node from completing its boot.
func run() error {
	f, err := parseFlags(os.Args[1:], os.Stdout)

	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case f.version || f.command == "version":
		fmt.Println(api.Version)

		return nil
	case strings.HasPrefix(f.command, validateCommand):
		return validate(strings.TrimSpace(strings.TrimPrefix(f.command, validateCommand)), os.Stdout)
	case f.command != "" && f.command != "restore":
		return fmt.Errorf("unknown command %q, must be restore, config validate FILE or version", f.command)
	}

	// One process at a time writes cpu.max.
	lock := &enforce.Lock{Root: f.cgroup}
	defer lock.Release()

	if f.command == "restore" {
		if err := lock.Acquire(); err != nil {
			return err
		}

		return restore(f)
	}

	logger := newLogger()
	defer logger.Sync() //nolint:errcheck // the process ends

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	return guard(ctx, f, lock, enforce.NewNode, logger)
}
