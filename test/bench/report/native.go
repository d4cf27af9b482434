// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// guardProgram is what make build builds.
const guardProgram = "bin/spegel-guard"

// measureNative measures the usage on this machine. It needs root.
func (f *findings) measureNative(ctx context.Context, exporter string) error {
	dir, err := os.MkdirTemp("", "spegel-guard-native-")
	if err != nil {
		return err
	}

	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder

	if f.NativeMachine, err = thisMachine(ctx); err != nil {
		return err
	}

	f.NativeWhen = time.Now().UTC().Truncate(time.Second)

	args := []string{"-exporter", exporter, "-guard", guardProgram}

	for _, program := range []struct{ flag, pkg, name string }{
		// The name of the executable is how the guard finds a target without the container runtime.
		{"-target", "./test/runaway", "spegel"}, {"-bare", "./test/bench/cmd/bare", "bare"},
	} {
		binary := filepath.Join(dir, program.name)
		if err := build(ctx, "-o", binary, program.pkg); err != nil {
			return err
		}

		args = append(args, program.flag, binary)
	}

	for _, peer := range []string{"stat", "cadvisor"} {
		binary, err := buildPeer(ctx, dir, peer)
		if err != nil {
			return err
		}

		args = append(args, "-"+peer, binary)
	}

	runner := filepath.Join(dir, "native")
	if err := build(ctx, "-o", runner, "./test/bench/native"); err != nil {
		return err
	}

	found, err := results(ctx, os.Stdout, runner, args...)
	if err != nil {
		return err
	}

	f.Native = found.Native

	if f.Reaction, err = reactions(ctx); err != nil {
		return err
	}

	program, err := os.Stat(guardProgram)
	if err != nil {
		return err
	}

	f.Binary = program.Size()

	return nil
}

// buildPeer builds a program with a module of its own into a folder and returns its path.
func buildPeer(ctx context.Context, dir, peer string) (string, error) {
	binary := filepath.Join(dir, "peer-"+peer)

	return binary, build(ctx, "-C", "test/peers/"+peer, "-o", binary, ".")
}

func build(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"build"}, args...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	cmd.Stderr = os.Stderr

	if err := cmd.Run(); err != nil {
		return fmt.Errorf("failed to build %v: %w", args, err)
	}

	return nil
}
