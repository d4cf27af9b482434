// SPDX-License-Identifier: MPL-2.0

// Package gobuild builds the project's programs for releases: static, stripped, and independent of the build machine.
package gobuild

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Module is the path of the project's module.
const Module = "github.com/spegel-guard/spegel-guard"

// noTrace is gRPC's build tag that excludes its trace page. The templates of that unused page prevent the linker from removing
// dead code, a fifth of the daemon.
const noTrace = "grpcnotrace"

// Program is a program to build.
type Program struct {
	// Package is relative to the module, such as service.
	Package string
	// OS and Arch as Go names them.
	OS, Arch string
	// Stamps are string variables that the linker sets, by their name with the package.
	Stamps map[string]string
	// Tags are more build tags.
	Tags string
}

// Build builds a program of a source tree with the toolchain that go.mod names, and returns it.
func Build(ctx context.Context, tree string, program Program) ([]byte, error) {
	dir, err := os.MkdirTemp("", "spegel-guard-build-")
	if err != nil {
		return nil, fmt.Errorf("failed to create a folder to build in: %w", err)
	}

	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder

	toolchain, err := toolchainOf(ctx, tree)
	if err != nil {
		return nil, err
	}

	flags := "-s -w -buildid="
	for _, name := range slices.Sorted(maps.Keys(program.Stamps)) {
		flags += " -X " + name + "=" + program.Stamps[name]
	}

	out := filepath.Join(dir, filepath.Base(program.Package))

	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags", noTrace+","+program.Tags,
		"-ldflags", flags, "-o", out, Module+"/"+program.Package)
	cmd.Dir = tree
	// Settings of the user and the installed Go must not affect the result.
	cmd.Env = append(os.Environ(), "GOTOOLCHAIN="+toolchain, "CGO_ENABLED=0", "GOOS="+program.OS, "GOARCH="+program.Arch,
		"GOFLAGS=", "GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=", "GOWORK=off")

	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("failed to build %s for %s/%s: %w: %s", program.Package, program.OS, program.Arch, err, strings.TrimSpace(string(text)))
	}

	return os.ReadFile(out)
}

// toolchainOf returns the toolchain that go.mod names, because the binary depends on the compiler.
func toolchainOf(ctx context.Context, tree string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "edit", "-json")
	cmd.Dir = tree

	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("failed to read go.mod: %w", err)
	}

	var mod struct{ Toolchain string }

	if err := json.Unmarshal(out, &mod); err != nil || mod.Toolchain == "" {
		return "", fmt.Errorf("failed to read go.mod's toolchain (%q): %w", mod.Toolchain, err)
	}

	return mod.Toolchain, nil
}
