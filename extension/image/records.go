// SPDX-License-Identifier: MPL-2.0

package image

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/spegel-guard/spegel-guard/extension"
)

// WriteRecords writes what signing and installing need to a folder: spegel-guard.image, the reference of the index with its digest,
// and for each architecture spegel-guard-ARCH.image and its bill of materials, spegel-guard-ARCH.spdx.json. Repository is where the
// image was pushed, such as ghcr.io/you/spegel-guard.
func WriteRecords(dir, repository string, index v1.ImageIndex, images map[string]v1.Image) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("failed to create the folder of records: %w", err)
	}

	if err := writeReference(filepath.Join(dir, extension.Name+".image"), repository, index); err != nil {
		return err
	}

	for arch, image := range images {
		path := filepath.Join(dir, extension.Name+"-"+arch)

		if err := writeReference(path+".image", repository, image); err != nil {
			return err
		}

		bill, err := fileOf(image, extension.RootfsFolder+extension.SBOMPath)
		if err != nil {
			return err
		}

		if err := os.WriteFile(path+".spdx.json", bill, 0o644); err != nil {
			return fmt.Errorf("failed to write a bill of materials: %w", err)
		}
	}

	return nil
}

func writeReference(path, repository string, of interface{ Digest() (v1.Hash, error) }) error {
	digest, err := of.Digest()
	if err != nil {
		return fmt.Errorf("failed to compute a digest: %w", err)
	}

	if err := os.WriteFile(path, []byte(repository+"@"+digest.String()+"\n"), 0o644); err != nil {
		return fmt.Errorf("failed to write a reference: %w", err)
	}

	return nil
}

// fileOf returns a file of an image.
func fileOf(image v1.Image, path string) ([]byte, error) {
	files := mutate.Extract(image)
	defer files.Close() //nolint:errcheck // read only

	for archive := tar.NewReader(files); ; {
		header, err := archive.Next()

		switch {
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("the image has no file %s", path)
		case err != nil:
			return nil, fmt.Errorf("failed to read the image: %w", err)
		case "/"+strings.TrimPrefix(header.Name, "/") == path:
			return io.ReadAll(archive)
		}
	}
}
