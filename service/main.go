// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Command spegel-guard watches the spegel container of a node and caps its processor time while it runs away.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/service/internal/api"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
)

func main() {
	if err := run(); err != nil {
		// Talos shows the last line of a service that failed: it must be the diagnosis.
		fmt.Fprintln(os.Stderr, "spegel-guard:", err)
		os.Exit(1)
	}
}

// run returns the errors of a person's command. The daemon itself does not fail at its start, whatever it finds: on
// Talos a service that does not come up keeps the node from completing its boot.
func run() error {
	f := parseFlags()

	switch {
	case f.version || f.command == "version":
		fmt.Println(api.Version)

		return nil
	case strings.HasPrefix(f.command, validateCommand):
		return validate(strings.TrimSpace(strings.TrimPrefix(f.command, validateCommand)), os.Stdout)
	case f.command != "" && f.command != "restore":
		return fmt.Errorf("unknown command %q, there are restore, config validate FILE and version", f.command)
	}

	// Whatever is done, one process does it.
	lock := &enforce.Lock{Root: f.cgroup}
	defer lock.Release()

	if f.command == "restore" {
		if err := lock.Acquire(); err != nil {
			return err
		}

		return restore(f)
	}

	logger, err := newLogger()
	if err != nil {
		return err
	}

	defer logger.Sync() //nolint:errcheck // nothing left to do

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	return guard(ctx, f, lock, logger)
}

func newLogger() (*zap.Logger, error) {
	logConfig := zap.NewProductionConfig()
	logConfig.EncoderConfig.EncodeTime = zapTime
	logConfig.DisableStacktrace = true
	logConfig.DisableCaller = true
	// Every decision counts; there are few.
	logConfig.Sampling = nil

	logger, err := logConfig.Build()
	if err != nil {
		return nil, fmt.Errorf("error making the logger: %w", err)
	}

	return logger, nil
}
