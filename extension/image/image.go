// SPDX-License-Identifier: MPL-2.0

// Package image builds the Talos system extension as a reproducible OCI image.
package image

import (
	"fmt"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/siderolabs/talos/pkg/machinery/extensions"

	"github.com/spegel-guard/spegel-guard/extension"
)

// Source of the image, for its annotations.
const Source = "https://github.com/spegel-guard/spegel-guard"

// Annotations that every registry shows (opencontainers/image-spec, annotations.md).
func annotations(manifest extensions.Metadata) map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":         manifest.Name,
		"org.opencontainers.image.version":       manifest.Version,
		"org.opencontainers.image.authors":       manifest.Author,
		"org.opencontainers.image.description":   manifest.Description,
		"org.opencontainers.image.licenses":      "MPL-2.0",
		"org.opencontainers.image.source":        Source,
		"org.opencontainers.image.documentation": Source + "/blob/" + manifest.Version + "/docs/install.md",
	}
}

// New returns the image of an architecture with files.
func New(arch string, files extension.Files, manifest extensions.Metadata) (v1.Image, error) {
	layer, err := layerOf(files)
	if err != nil {
		return nil, err
	}

	image, err := mutate.ConfigFile(mutate.MediaType(empty.Image, types.OCIManifestSchema1), &v1.ConfigFile{
		OS: "linux", Architecture: arch, Created: v1.Time{Time: time.Unix(0, 0).UTC()}, RootFS: v1.RootFS{Type: "layers"},
	})
	if err != nil {
		return nil, fmt.Errorf("failed to create the image's configuration: %w", err)
	}

	image, err = mutate.AppendLayers(mutate.ConfigMediaType(image, types.OCIConfigJSON), layer)
	if err != nil {
		return nil, fmt.Errorf("failed to add the layer: %w", err)
	}

	annotated, ok := mutate.Annotations(image, annotations(manifest)).(v1.Image)
	if !ok {
		return nil, fmt.Errorf("failed to annotate the image: unexpected type %T", annotated)
	}

	return annotated, nil
}

// Index returns an index of the images of several architectures.
func Index(manifest extensions.Metadata, images ...v1.Image) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)

	for _, image := range images {
		config, err := image.ConfigFile()
		if err != nil {
			return nil, fmt.Errorf("failed to read an image's configuration: %w", err)
		}

		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        image,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: config.OS, Architecture: config.Architecture}},
		})
	}

	annotated, ok := mutate.Annotations(index, annotations(manifest)).(v1.ImageIndex)
	if !ok {
		return nil, fmt.Errorf("failed to annotate the index: unexpected type %T", annotated)
	}

	return annotated, nil
}
