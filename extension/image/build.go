// SPDX-License-Identifier: MPL-2.0

package image

import (
	"bytes"
	"context"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/spegel-guard/spegel-guard/extension"
	"github.com/spegel-guard/spegel-guard/extension/sbom"
	"github.com/spegel-guard/spegel-guard/internal/gobuild"
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

	binary, err := gobuild.Build(ctx, options.Tree, gobuild.Program{
		Package: "service", OS: "linux", Arch: arch, Tags: options.Tags,
		Stamps: map[string]string{gobuild.Module + "/service/internal/api.Version": manifest.Version},
	})
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
