// SPDX-License-Identifier: MPL-2.0

package image

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/spegel-guard/spegel-guard/extension"
	"github.com/spegel-guard/spegel-guard/extension/sbom"
)

// module of the daemon, and the variable that has its version.
const (
	module  = "github.com/spegel-guard/spegel-guard"
	daemon  = module + "/service"
	version = module + "/service/internal/api.Version"
)

// Options are options of Build.
type Options struct {
	// Tree is the source tree.
	Tree string
	// Tags are build tags, for tests.
	Tags string
}

// Build builds the daemon for an architecture and returns the image.
func Build(ctx context.Context, arch string, options Options) (v1.Image, error) {
	manifest, err := extension.ReadManifest(options.Tree)
	if err != nil {
		return nil, err
	}

	binary, err := compile(ctx, arch, manifest.Version, options)
	if err != nil {
		return nil, err
	}

	modules, err := sbom.Modules(ctx, options.Tree, bytes.NewReader(binary))
	if err != nil {
		return nil, err
	}

	bill, err := sbom.SPDX(manifest.Name, manifest.Version, arch, modules)
	if err != nil {
		return nil, err
	}

	files, err := extension.Assemble(options.Tree, binary, bill)
	if err != nil {
		return nil, err
	}

	return New(arch, files, manifest)
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

// noTrace is gRPC's build tag that excludes its trace page. The templates of that unused page prevent the linker from removing
// dead code, a fifth of the program.
const noTrace = "grpcnotrace"

// compile builds the daemon: static, stripped, and independent of the build machine.
func compile(ctx context.Context, arch, stamp string, options Options) ([]byte, error) {
	dir, err := os.MkdirTemp("", "spegel-guard-extension-")
	if err != nil {
		return nil, fmt.Errorf("failed to create a folder to build in: %w", err)
	}

	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder

	toolchain, err := toolchainOf(ctx, options.Tree)
	if err != nil {
		return nil, err
	}

	out := filepath.Join(dir, extension.Name)

	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags", noTrace+","+options.Tags,
		"-ldflags", "-s -w -buildid= -X "+version+"="+stamp, "-o", out, daemon)
	cmd.Dir = options.Tree
	// Settings of the user and the installed Go must not affect the result.
	cmd.Env = append(os.Environ(), "GOTOOLCHAIN="+toolchain,
		"CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOFLAGS=", "GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=", "GOWORK=off")

	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("failed to build the daemon for %s: %w: %s", arch, err, strings.TrimSpace(string(text)))
	}

	return os.ReadFile(out)
}
