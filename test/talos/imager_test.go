// SPDX-License-Identifier: MPL-2.0

package talos

import (
	"bytes"
	"debug/pe"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/test/artifacts"
	"github.com/spegel-guard/spegel-guard/test/debian"
)

// imagerInputs returns the kernel and tools, the programs of Talos, and an input with systemd's boot loader. It skips without programs.
func imagerInputs(t *testing.T) (made base, programs Programs, input imagerInput) {
	t.Helper()

	if os.Getenv(ProgramsEnv) == "" {
		t.Skip(ErrNoPrograms)
	}

	programs, err := FindPrograms()
	require.NoError(t, err)

	cache, err := artifacts.CacheDir()
	require.NoError(t, err)

	made, err = makeBase(t.Context(), cache, programs)
	require.NoError(t, err)

	boot, err := debian.UnpackOnly(t.Context(), cache, debian.Trixie, "systemd-boot-efi")
	require.NoError(t, err)

	efi := filepath.Join(boot, "usr/lib/systemd/boot/efi")

	return made, programs, imagerInput{stub: filepath.Join(efi, "linuxx64.efi.stub"), boot: filepath.Join(efi, "systemd-bootx64.efi")}
}

// TestImager_MakesEachKind runs Talos' imager with the extension for every kind of output that needs no image of a registry
// and no boot loader.
func TestImager_MakesEachKind(t *testing.T) {
	made, programs, input := imagerInputs(t)

	layout := filepath.Join(t.TempDir(), "guard")
	require.NoError(t, GuardLayout(t.Context(), "../..", layout))

	plain, err := os.Stat(made.initramfs)
	require.NoError(t, err)

	// The extension is a squashfs of a few MB in the initramfs.
	const extensionSize = 1 << 20

	for kind, check := range map[string]func(t *testing.T, path string){
		"initramfs": func(t *testing.T, path string) {
			info, err := os.Stat(path)
			require.NoError(t, err)
			assert.Greater(t, info.Size(), plain.Size()+extensionSize)
		},
		"kernel": func(t *testing.T, path string) {
			got, err := os.ReadFile(path)
			require.NoError(t, err)

			want, err := os.ReadFile(made.kernel.Image)
			require.NoError(t, err)
			assert.True(t, bytes.Equal(want, got), "the imager has changed the kernel")
		},
		"cmdline": func(t *testing.T, path string) {
			line, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.Contains(t, string(line), "talos.platform=metal")
		},
		"uki": func(t *testing.T, path string) {
			file, err := pe.Open(path)
			require.NoError(t, err)

			defer file.Close()

			require.NotNil(t, file.Section(".initrd"))
			assert.Greater(t, int64(file.Section(".initrd").Size), plain.Size()+extensionSize)
		},
	} {
		t.Run(kind, func(t *testing.T) {
			input.kind, input.layouts = kind, []string{layout}

			path, err := runImager(t.Context(), made, programs, t.TempDir(), input)
			require.NoError(t, err)
			check(t, path)
		})
	}
}
