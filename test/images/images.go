// SPDX-License-Identifier: MPL-2.0

// Package images makes OCI images of the test node's pods from locally built binaries.
package images

import (
	"archive/tar"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"path"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Image is a single static binary as a container image.
type Image struct {
	// Name of the image and of the binary in it.
	Name string
	// Package is the binary's Go package, relative to the module.
	Package string
	// Entrypoint of the image.
	Entrypoint string
	// Tag is the version, "v1" if it is empty.
	Tag string
}

// Images of the test node. The binary of the workload is named spegel, because discovery in procfs selects that name.
var (
	Pause  = Image{Name: "pause", Package: "test/pause", Entrypoint: "/pause"}
	Spegel = Image{Name: "spegel", Package: "test/runaway", Entrypoint: "/app/spegel"}
	All    = []Image{Pause, Spegel}
)

// Registry is the host in the names of the images. It exists only as a mirror in the configuration of Talos.
const Registry = "registry.test"

// Reference returns the name of the image in containerd.
func (i Image) Reference() string {
	return Registry + "/" + i.Repository()
}

// Repository returns the name of the image in its registry, with the tag.
func (i Image) Repository() string {
	return i.Name + ":" + cmp.Or(i.Tag, "v1")
}

// GuestPath returns the path of an image's archive in the test machine.
func GuestPath(image string) string {
	return path.Join("/usr/share/spegel-guard/images", image+".tar")
}

// Write makes an image from a binary and writes it as an archive that containerd can import.
func (i Image) Write(binary []byte, archive io.Writer) error {
	layer, err := singleFileLayer(i.Entrypoint, binary)
	if err != nil {
		return err
	}

	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return err
	}

	image, err = mutate.ConfigFile(image, &v1.ConfigFile{
		Architecture: "amd64",
		OS:           "linux",
		Config:       v1.Config{Entrypoint: []string{i.Entrypoint}, Env: []string{"PATH=/"}},
		RootFS:       rootFS(image),
	})
	if err != nil {
		return err
	}

	tag, err := name.NewTag(i.Reference())
	if err != nil {
		return err
	}

	return tarball.Write(tag, image, archive)
}

func rootFS(image v1.Image) v1.RootFS {
	config, err := image.ConfigFile()
	if err != nil {
		return v1.RootFS{Type: "layers"}
	}

	return config.RootFS
}

func singleFileLayer(target string, data []byte) (v1.Layer, error) {
	var buf bytes.Buffer

	w := tar.NewWriter(&buf)

	for dir := path.Dir(target)[1:]; dir != "" && dir != "."; dir = path.Dir(dir) {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755}); err != nil {
			return nil, err
		}
	}

	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: target[1:], Mode: 0o755, Size: int64(len(data))}); err != nil {
		return nil, err
	}

	if _, err := w.Write(data); err != nil {
		return nil, err
	}

	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("failed to close the layer: %w", err)
	}

	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(buf.Bytes())), nil
	})
}
