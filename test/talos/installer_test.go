// SPDX-License-Identifier: MPL-2.0

package talos

import (
	"archive/tar"
	"debug/elf"
	"io"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/siderolabs/talos/pkg/machinery/extensions"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/extension"
	"github.com/spegel-guard/spegel-guard/extension/image"
)

// TestImager_MakesInstallers makes an installer for each architecture from the layout that "make extension" writes, which has both.
// The base installer is a placeholder, because Talos' cannot be pulled, and so is the initramfs. The kernel and the boot loader are
// those of amd64.
func TestImager_MakesInstallers(t *testing.T) {
	made, programs, input := imagerInputs(t)
	dir := t.TempDir()
	guard := filepath.Join(dir, "guard")

	require.NoError(t, GuardLayout(t.Context(), "../..", guard, "amd64", "arm64"))

	made.initramfs = writePlaceholder(t)

	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		t.Run(arch, func(t *testing.T) {
			base := filepath.Join(t.TempDir(), "base")
			writeBaseInstaller(t, base, arch)

			input.kind, input.arch, input.layouts, input.installer = "installer", arch, []string{guard}, base

			path, err := runImager(t.Context(), made, programs, t.TempDir(), input)
			require.NoError(t, err)
			assert.Equal(t, "installer-"+arch+".tar", filepath.Base(path))

			installer, err := tarball.ImageFromPath(path, nil)
			require.NoError(t, err)

			config, err := installer.ConfigFile()
			require.NoError(t, err)
			assert.Equal(t, arch, config.Architecture)

			files := contents(t, installer)
			assert.Contains(t, files, "usr/bin/installer")
			// docs/install.md: what an installer of Image Factory has is not kept.
			assert.NotContains(t, files, "usr/install/extension-of-the-base")

			assertHasGuard(t, made.tools, files["usr/install/"+arch+"/vmlinuz.efi"], machine)
		})
	}
}

// writeBaseInstaller writes an image with two layers, as installers of Talos have: the program, and what it installs.
func writeBaseInstaller(t *testing.T, dir, arch string) {
	t.Helper()

	manifest := extensions.Metadata{Name: "installer", Version: Version}

	program, err := image.New(arch, extension.Files{"/usr/bin/installer": {Data: []byte("program"), Mode: 0o755}}, manifest)
	require.NoError(t, err)

	assets, err := image.New(arch, extension.Files{"/usr/install/extension-of-the-base": {Data: []byte("x"), Mode: 0o644}}, manifest)
	require.NoError(t, err)

	layers, err := assets.Layers()
	require.NoError(t, err)

	both, err := mutate.AppendLayers(program, layers...)
	require.NoError(t, err)
	require.NoError(t, writeLayout(dir, manifest, both))
}

// contents returns the files of an image by path.
func contents(t *testing.T, image v1.Image) map[string][]byte {
	t.Helper()

	stream := mutate.Extract(image)
	defer stream.Close()

	files := map[string][]byte{}

	for archive := tar.NewReader(stream); ; {
		header, err := archive.Next()
		if err == io.EOF { //nolint:errorlint // as documented
			return files
		}

		require.NoError(t, err)

		data, err := io.ReadAll(archive)
		require.NoError(t, err)

		files[strings.TrimPrefix(header.Name, "/")] = data
	}
}
