// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/spegel-guard/spegel-guard/extension"
	"github.com/spegel-guard/spegel-guard/extension/image"
	"github.com/spegel-guard/spegel-guard/test/images"
	"github.com/spegel-guard/spegel-guard/test/vm"
	"github.com/spegel-guard/spegel-guard/test/vm/plan"
)

const module = "github.com/spegel-guard/spegel-guard"

type bootOptions struct {
	timeout   time.Duration
	memoryMiB int
	// machines is how many machines share the tests.
	machines int
}

// builder builds the files of the guest in a temporary folder.
type builder struct {
	dir   string
	tags  string
	init  string
	files map[string]string
}

// newBuilder builds the init of the guest, the images of its pods and the extension.
func newBuilder(ctx context.Context, tags string) (*builder, error) {
	dir, err := os.MkdirTemp("", "spegel-guard-build-")
	if err != nil {
		return nil, err
	}

	b := &builder{dir: dir, tags: tags, init: filepath.Join(dir, "init"), files: map[string]string{}}

	if err := b.fill(ctx); err != nil {
		b.close()

		return nil, err
	}

	return b, nil
}

func (b *builder) close() {
	os.RemoveAll(b.dir) //nolint:errcheck // a temporary folder
}

func (b *builder) fill(ctx context.Context) error {
	if err := b.goBuild(ctx, b.init, module+"/test/vm/guest"); err != nil {
		return err
	}

	for _, image := range images.All {
		binary := filepath.Join(b.dir, image.Name)

		if err := b.goBuild(ctx, binary, module+"/"+image.Package); err != nil {
			return err
		}

		archive := binary + ".tar"

		if err := writeImage(image, binary, archive); err != nil {
			return fmt.Errorf("failed to create image %s: %w", image.Name, err)
		}

		b.files[images.GuestPath(image.Name)] = archive
	}

	if err := b.installExtension(ctx); err != nil {
		return err
	}

	tools, err := vm.HostTools(ctx, "df", "find", "ip", "strace")
	if err != nil {
		return err
	}

	maps.Copy(b.files, tools)

	return nil
}

// writeImage writes the archive of an image with a binary.
func writeImage(image images.Image, binary, archive string) error {
	data, err := os.ReadFile(binary)
	if err != nil {
		return err
	}

	file, err := os.Create(archive)
	if err != nil {
		return err
	}

	return errors.Join(image.Write(data, file), file.Close())
}

// addTool adds a program of this machine to the guest.
func (b *builder) addTool(ctx context.Context, name, path string) error {
	files, err := vm.HostTool(ctx, name, path)
	if err != nil {
		return err
	}

	maps.Copy(b.files, files)

	return nil
}

// guestArch is the architecture of the test machine.
const guestArch = "amd64"

// installExtension builds the extension's image, writes it as an OCI layout, and installs the files of the layout, as Talos'
// imager does. The guard is installed in the test machine in this way only.
func (b *builder) installExtension(ctx context.Context) error {
	built, err := image.Build(ctx, guestArch, image.Options{Tree: ".", Tags: b.tags})
	if err != nil {
		return err
	}

	manifest, err := extension.ReadManifest(".")
	if err != nil {
		return err
	}

	index, err := image.Index(manifest, built)
	if err != nil {
		return err
	}

	layout, unpacked := filepath.Join(b.dir, "oci"), filepath.Join(b.dir, "extension")

	if err := image.WriteLayout(layout, index); err != nil {
		return err
	}

	if built, err = image.ReadLayout(layout, guestArch); err != nil {
		return err
	}

	if err := os.Mkdir(unpacked, 0o755); err != nil {
		return err
	}

	if err := image.Unpack(built, unpacked); err != nil {
		return err
	}

	root := filepath.Join(unpacked, extension.RootfsFolder)

	return filepath.WalkDir(root, func(source string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}

		b.files[strings.TrimPrefix(source, root)] = source

		return nil
	})
}

// goBuild builds a static binary, because the guest has no C library.
func (b *builder) goBuild(ctx context.Context, out, pkg string) error {
	return goTool(ctx, "build", "-tags", b.tags, "-trimpath", "-ldflags", "-s -w", "-o", out, pkg)
}

func goTool(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr

	if err := cmd.Run(); err != nil {
		return fmt.Errorf("failed to run go %v: %w", args, err)
	}

	return nil
}

func (b *builder) runProgram(ctx context.Context, boot bootOptions, pkg string, args []string) (int, error) {
	name := filepath.Base(pkg)
	binary := filepath.Join(b.dir, "program-"+name)

	if err := b.goBuild(ctx, binary, pkg); err != nil {
		return 0, err
	}

	target := path.Join("/tests", name)
	b.files[target] = binary

	return b.boot(ctx, boot, []plan.Program{
		{Path: target, Args: args, Dir: "/tests", Env: []string{vm.GuestEnv + "=1"}},
	}, os.Stdout)
}

func (b *builder) boot(ctx context.Context, boot bootOptions, programs []plan.Program, out io.Writer) (int, error) {
	return vm.Run(ctx, vm.Options{
		Init:      b.init,
		Files:     b.files,
		Programs:  programs,
		MemoryMiB: boot.memoryMiB,
		Timeout:   boot.timeout,
		Out:       out,
	})
}
