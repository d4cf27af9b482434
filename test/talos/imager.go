// SPDX-License-Identifier: MPL-2.0

package talos

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/siderolabs/talos/pkg/machinery/extensions"
	"go.yaml.in/yaml/v4"

	"github.com/spegel-guard/spegel-guard/extension"
	"github.com/spegel-guard/spegel-guard/extension/image"
)

// Architecture of the node.
const Architecture = "amd64"

// profile has the fields of the imager's input that are used here (Talos: pkg/imager/profile).
type profile struct {
	Arch          string `yaml:"arch"`
	Platform      string `yaml:"platform"`
	Version       string `yaml:"version"`
	Customization struct {
		EmbeddedMachineConfiguration string `yaml:"embeddedMachineConfiguration,omitempty"`
	} `yaml:"customization"`
	Input struct {
		Kernel           pathAsset  `yaml:"kernel"`
		Initramfs        pathAsset  `yaml:"initramfs"`
		SDStub           pathAsset  `yaml:"sdStub"`
		SDBoot           pathAsset  `yaml:"sdBoot"`
		BaseInstaller    *ociAsset  `yaml:"baseInstaller,omitempty"`
		SystemExtensions []ociAsset `yaml:"systemExtensions"`
	} `yaml:"input"`
	Output struct {
		Kind         string        `yaml:"kind"`
		OutFormat    string        `yaml:"outFormat"`
		ImageOptions *imageOptions `yaml:"imageOptions,omitempty"`
		ISOOptions   *isoOptions   `yaml:"isoOptions,omitempty"`
	} `yaml:"output"`
}

// imageOptions are the options of kind "image".
type imageOptions struct {
	DiskSize   int64  `yaml:"diskSize"` // bytes
	DiskFormat string `yaml:"diskFormat"`
	Bootloader string `yaml:"bootloader"`
}

// isoOptions are the options of kind "iso".
type isoOptions struct {
	Bootloader string `yaml:"bootloader"`
}

// sdBoot is systemd's boot loader. The imager installs GRUB with programs of its own image.
const sdBoot = "sd-boot"

type pathAsset struct {
	Path string `yaml:"path"`
}

// ociAsset is an image in an OCI layout. The imager also needs a reference for a base installer, the tag of its output.
type ociAsset struct {
	ImageRef string `yaml:"imageRef,omitempty"`
	OCIPath  string `yaml:"ociPath"`
}

// imagerInput describes an image.
type imagerInput struct {
	// kind of the output, as the imager names it.
	kind string
	// arch of the output; empty: that of the node.
	arch string
	// layouts of the extensions.
	layouts []string
	// document is the machine configuration to embed; empty: none.
	document []byte
	// stub and boot are systemd's EFI stub and boot loader, for kinds "uki", "iso", "image" and "installer".
	stub, boot string
	// installer is the OCI layout of the base installer, for kind "installer".
	installer string
}

// runImager makes an image with the extensions. It returns the path of the only file that the imager has written below dir.
func runImager(ctx context.Context, made base, programs Programs, dir string, in imagerInput) (string, error) {
	var p profile

	p.Arch, p.Platform, p.Version = cmp.Or(in.arch, Architecture), "metal", Version
	p.Customization.EmbeddedMachineConfiguration = string(in.document)
	p.Input.Kernel.Path, p.Input.Initramfs.Path = made.kernel.Image, made.initramfs
	p.Input.SDStub.Path, p.Input.SDBoot.Path = in.stub, in.boot
	p.Output.Kind, p.Output.OutFormat = in.kind, "raw"

	switch in.kind {
	case "image":
		const diskSize = 4 << 30

		p.Output.ImageOptions = &imageOptions{DiskSize: diskSize, DiskFormat: "raw", Bootloader: sdBoot}
	case "iso":
		p.Output.ISOOptions = &isoOptions{Bootloader: sdBoot}
	}

	if in.installer != "" {
		p.Input.BaseInstaller = &ociAsset{ImageRef: "registry.test/installer-base:" + Version, OCIPath: in.installer}
	}

	for _, layout := range in.layouts {
		p.Input.SystemExtensions = append(p.Input.SystemExtensions, ociAsset{OCIPath: layout})
	}

	input, err := yaml.Dump(p)
	if err != nil {
		return "", err
	}

	out := filepath.Join(dir, "out-"+in.kind)
	if err := os.MkdirAll(out, 0o755); err != nil {
		return "", err
	}

	// The program is the imager if its name is imager.
	cmd := exec.CommandContext(ctx, programs.Installer, "-", "--output", out)
	cmd.Args[0] = "imager"
	cmd.Stdin = strings.NewReader(string(input))
	cmd.Env = append(os.Environ(), "PATH="+made.tools+":"+os.Getenv("PATH"))

	if printed, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("failed to run Talos' imager: %w: %s", err, printed)
	}

	found, err := filepath.Glob(filepath.Join(out, "*"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("the imager has written %v, expected one file of kind %s: %w", found, in.kind, err)
	}

	return found[0], nil
}

// GuardLayout builds the extension's images from the source tree and writes them as an OCI layout into dir: for the node's
// architecture, or for others.
func GuardLayout(ctx context.Context, tree, dir string, architectures ...string) error {
	if len(architectures) == 0 {
		architectures = []string{Architecture}
	}

	var images []v1.Image

	for _, architecture := range architectures {
		built, err := image.Build(ctx, architecture, image.Options{Tree: tree})
		if err != nil {
			return err
		}

		images = append(images, built)
	}

	manifest, err := extension.ReadManifest(tree)
	if err != nil {
		return err
	}

	return writeLayout(dir, manifest, images...)
}

// ServiceLayout writes an extension that is one service into dir: its service file and the files of its root.
func ServiceLayout(dir, name string, service []byte, files extension.Files) error {
	manifest := extensions.Manifest{Version: "v1alpha1", Metadata: extensions.Metadata{
		Name: name, Version: Version, Author: "test", Description: "Part of a test of spegel-guard.",
		Compatibility: extensions.Compatibility{Talos: extensions.Constraint{Version: ">= v1.12.0"}},
	}}

	data, err := yaml.Dump(manifest)
	if err != nil {
		return err
	}

	all := extension.Files{
		extension.ManifestFile: {Data: data, Mode: 0o644},
		extension.RootfsFolder + "/usr/local/etc/containers/" + name + ".yaml": {Data: service, Mode: 0o644},
	}

	for path, file := range files {
		all[filepath.Join(extension.RootfsFolder, "usr/local/lib/containers", name, path)] = file
	}

	built, err := image.New(Architecture, all, manifest.Metadata)
	if err != nil {
		return err
	}

	return writeLayout(dir, manifest.Metadata, built)
}

func writeLayout(dir string, manifest extensions.Metadata, built ...v1.Image) error {
	index, err := image.Index(manifest, built...)
	if err != nil {
		return err
	}

	return image.WriteLayout(dir, index)
}
