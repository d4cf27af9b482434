// SPDX-License-Identifier: MPL-2.0

// Command mkextension builds the Talos system extension as an OCI layout and an archive for docker load, or pushes it to a
// registry.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/dustin/go-humanize"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/spegel-guard/spegel-guard/extension"
	"github.com/spegel-guard/spegel-guard/extension/image"
)

// maxCompressed is the largest compressed size of an architecture's image in bytes.
const maxCompressed = 12 << 20

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "mkextension:", err)
		os.Exit(1)
	}
}

func run() error {
	tree := flag.String("tree", ".", "source tree")
	out := flag.String("out", "", "folder for the OCI layout and the archive (empty: none)")
	registry := flag.String("push", "", "registry and repository to push to with docker's credentials, such as ghcr.io/you (empty: none)")
	unpack := flag.String("unpack", "", "folder to unpack the layout of -out to, with a folder for each architecture (empty: none)")
	records := flag.String("records", "", "folder for the bills of materials, and for the references of the image (empty: none)")
	archs := flag.String("arch", "amd64,arm64", "architectures to build, separated by commas")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	manifest, err := extension.ReadManifest(*tree)
	if err != nil {
		return err
	}

	images := map[string]v1.Image{}

	var inOrder []v1.Image

	for arch := range strings.SplitSeq(*archs, ",") {
		built, err := image.Build(ctx, arch, image.Options{Tree: *tree})
		if err != nil {
			return err
		}

		if err := report(arch, built); err != nil {
			return err
		}

		images[arch] = built
		inOrder = append(inOrder, built)
	}

	index, err := image.Index(manifest, inOrder...)
	if err != nil {
		return err
	}

	digest, err := index.Digest()
	if err != nil {
		return err
	}

	fmt.Printf("%s %s: %s\n", manifest.Name, manifest.Version, digest)

	if *out != "" {
		if err := write(*out, manifest.Name, manifest.Version, index, images); err != nil {
			return err
		}
	}

	for arch := range images {
		if *unpack == "" {
			break
		}

		if err := unpackTo(filepath.Join(*unpack, arch), *out, arch); err != nil {
			return err
		}
	}

	repository := manifest.Name

	if *registry != "" {
		repository = strings.TrimSuffix(*registry, "/") + "/" + manifest.Name

		pushed, err := image.Push(ctx, repository+":"+manifest.Version, index)
		if err != nil {
			return err
		}

		fmt.Println("pushed", pushed)
	}

	if *records == "" {
		return nil
	}

	return image.WriteRecords(*records, repository, index, images)
}

// unpackTo unpacks the layout as the imager does.
func unpackTo(dir, out, arch string) error {
	read, err := image.ReadLayout(layoutIn(out), arch)
	if err != nil {
		return err
	}

	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("failed to create the folder to unpack to: %w", err)
	}

	return image.Unpack(read, dir)
}

func layoutIn(out string) string { return filepath.Join(out, "oci") }

// report prints the size of an architecture's image. It returns an error if the image is larger than maxCompressed.
func report(arch string, built v1.Image) error {
	layers, err := built.Layers()
	if err != nil {
		return err
	}

	var size int64

	for _, layer := range layers {
		compressed, err := layer.Size()
		if err != nil {
			return err
		}

		size += compressed
	}

	fmt.Printf("%s: %.1f MiB compressed\n", arch, float64(size)/(1<<20))

	if size > maxCompressed {
		return fmt.Errorf("the image for %s is too large: %s, must be at most %s", arch, humanize.IBytes(uint64(size)), humanize.IBytes(maxCompressed))
	}

	return nil
}

func write(dir, name, version string, index v1.ImageIndex, images map[string]v1.Image) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("failed to create the folder: %w", err)
	}

	layout := layoutIn(dir)
	if err := image.WriteLayout(layout, index); err != nil {
		return err
	}

	archive := filepath.Join(dir, name+".tar")
	if err := image.WriteArchive(archive, name, version, images); err != nil {
		return err
	}

	fmt.Printf("OCI layout in %s, docker load < %s\n", layout, archive)

	return nil
}
