// SPDX-License-Identifier: MPL-2.0

package image

import (
	"context"
	"fmt"
	"os"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// WriteLayout writes an OCI image layout into a folder, which it replaces. The index of the layout has the images: Talos' imager
// (pkg/imager/profile, ociPath) does not read nested indexes.
func WriteLayout(dir string, index v1.ImageIndex) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("failed to remove an older layout: %w", err)
	}

	if _, err := layout.Write(dir, index); err != nil {
		return fmt.Errorf("failed to write the layout: %w", err)
	}

	return nil
}

// ReadLayout reads the image of an architecture from a layout, as the imager does.
func ReadLayout(dir, arch string) (v1.Image, error) {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, fmt.Errorf("failed to read the layout: %w", err)
	}

	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("failed to read the layout's index: %w", err)
	}

	for _, found := range manifest.Manifests {
		if found.Platform != nil && found.Platform.OS == "linux" && found.Platform.Architecture == arch {
			return index.Image(found.Digest)
		}
	}

	return nil, fmt.Errorf("failed to read the layout: it has no image for %s", arch)
}

// WriteArchive writes images for docker load, with a tag for each architecture because such archives have no index.
func WriteArchive(path, repository, version string, images map[string]v1.Image) error {
	tags := map[name.Tag]v1.Image{}

	for arch, image := range images {
		tag, err := name.NewTag(repository + ":" + version + "-" + arch)
		if err != nil {
			return fmt.Errorf("failed to identify the image: %w", err)
		}

		tags[tag] = image
	}

	if err := tarball.MultiWriteToFile(path, tags); err != nil {
		return fmt.Errorf("failed to write the archive: %w", err)
	}

	return nil
}

// Push pushes the index to a registry with the credentials of docker or podman.
func Push(ctx context.Context, reference string, index v1.ImageIndex) (digest name.Digest, err error) {
	tag, err := name.NewTag(reference)
	if err != nil {
		return name.Digest{}, fmt.Errorf("invalid image reference: %w", err)
	}

	if err := remote.WriteIndex(tag, index, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
		return name.Digest{}, fmt.Errorf("failed to push %s: %w", tag, err)
	}

	hash, err := index.Digest()
	if err != nil {
		return name.Digest{}, fmt.Errorf("failed to compute the index's digest: %w", err)
	}

	return tag.Context().Digest(hash.String()), nil
}
