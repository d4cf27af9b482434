// SPDX-License-Identifier: MPL-2.0

package talos

import (
	"debug/elf"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestImager_MakesMedia makes an ISO and a disk image with the extension, with systemd's boot loader, and reads the kernel image on
// them: in the disk image from the EFI partition, in the ISO from its tree, of which its EFI partition is a copy.
func TestImager_MakesMedia(t *testing.T) {
	made, programs, input := imagerInputs(t)
	made.initramfs = writePlaceholder(t)

	layout := filepath.Join(t.TempDir(), "guard")
	require.NoError(t, GuardLayout(t.Context(), "../..", layout))

	for kind, test := range map[string]struct {
		file string
		// extract returns a command that writes the kernel image of the medium into a file.
		extract func(medium, to string) []string
	}{
		"iso": {"metal-amd64.iso", func(medium, to string) []string {
			return []string{"osirrox", "-indev", medium, "-extract", "/EFI/Linux/Talos-" + Version + ".efi", to}
		}},
		// The first partition begins at 1 MiB.
		"image": {"metal-amd64.raw", func(medium, to string) []string {
			return []string{"mcopy", "-i", medium + "@@1M", "::/EFI/Linux/Talos-" + Version + ".efi", to}
		}},
	} {
		t.Run(kind, func(t *testing.T) {
			input.kind, input.layouts = kind, []string{layout}

			medium, err := runImager(t.Context(), made, programs, t.TempDir(), input)
			require.NoError(t, err)
			assert.Equal(t, test.file, filepath.Base(medium))

			file := filepath.Join(t.TempDir(), "uki.efi")
			command := test.extract(medium, file)
			runTool(t, made.tools, ".", nil, command[0], command[1:]...)

			uki, err := os.ReadFile(file)
			require.NoError(t, err)
			assertHasGuard(t, made.tools, uki, elf.EM_X86_64)
		})
	}
}
