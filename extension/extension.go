// SPDX-License-Identifier: MPL-2.0

// Package extension describes what the Talos system extension installs on a node.
package extension

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/siderolabs/talos/pkg/machinery/extensions"
	"go.yaml.in/yaml/v4"
)

// Name of the extension and of its service (Talos shows it as ext-spegel-guard).
const Name = "spegel-guard"

// Paths on the node, as Talos prescribes them for extensions and their services (pkg/machinery/constants:
// ExtensionServiceConfigPath, ExtensionServiceRootfsPath, ExtensionSPDXPath).
const (
	ServicePath = "/usr/local/etc/containers/" + Name + ".yaml"
	RootfsPath  = "/usr/local/lib/containers/" + Name
	BinaryPath  = RootfsPath + "/" + Name
	SBOMPath    = "/usr/local/share/spdx/" + Name + ".spdx.json"
	LicencePath = "/usr/local/share/licenses/" + Name + "/LICENSE"
)

// Paths in the image.
const (
	ManifestFile = "/manifest.yaml"
	RootfsFolder = "/rootfs"
)

// File is a file in the image.
type File struct {
	Data []byte
	Mode fs.FileMode
}

// Files has the files of the image by path.
type Files map[string]File

// Assemble returns the files of the image: the daemon, its bill of materials, and files of the source tree.
func Assemble(tree string, binary, sbom []byte) (Files, error) {
	files := Files{
		RootfsFolder + BinaryPath: {Data: binary, Mode: 0o755},
		RootfsFolder + SBOMPath:   {Data: sbom, Mode: 0o644},
	}

	for target, source := range map[string]string{
		ManifestFile:               "manifest.yaml",
		RootfsFolder + ServicePath: filepath.Join("extension", Name+".yaml"),
		RootfsFolder + LicencePath: "LICENSE",
	} {
		data, err := os.ReadFile(filepath.Join(tree, source))
		if err != nil {
			return nil, fmt.Errorf("failed to read a file of the extension: %w", err)
		}

		files[target] = File{Data: data, Mode: 0o644}
	}

	return files, nil
}

// ReadManifest reads the manifest of a source tree. It has the version of the project: that of the binaries, the image and the
// API.
func ReadManifest(tree string) (extensions.Metadata, error) {
	data, err := os.ReadFile(filepath.Join(tree, "manifest.yaml"))
	if err != nil {
		return extensions.Metadata{}, fmt.Errorf("failed to read the manifest: %w", err)
	}

	var manifest extensions.Manifest

	if err := yaml.Load(data, &manifest, yaml.WithKnownFields()); err != nil {
		return extensions.Metadata{}, fmt.Errorf("failed to parse the manifest: %w", err)
	}

	return manifest.Metadata, nil
}
