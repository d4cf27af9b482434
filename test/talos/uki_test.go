// SPDX-License-Identifier: MPL-2.0

package talos

import (
	"bytes"
	"debug/elf"
	"debug/pe"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/extension"
)

// placeholder is an initramfs to which the imager appends extensions. Talos' would make the tests slow.
const placeholder = "placeholder of Talos' initramfs"

func writePlaceholder(t *testing.T) string {
	t.Helper()

	path := filepath.Join(t.TempDir(), "initramfs")
	require.NoError(t, os.WriteFile(path, []byte(placeholder), 0o644))

	return path
}

// assertHasGuard asserts that the only extension in a unified kernel image with the placeholder has the guard's binary for a machine.
func assertHasGuard(t *testing.T, tools string, uki []byte, machine elf.Machine) {
	t.Helper()

	binary, err := elf.Open(filepath.Join(unpackUKI(t, tools, uki), extension.BinaryPath))
	require.NoError(t, err)
	assert.Equal(t, machine, binary.Machine)
	require.NoError(t, binary.Close())
}

// unpackUKI returns a folder with the files of the only extension in a unified kernel image with the placeholder.
func unpackUKI(t *testing.T, tools string, uki []byte) string {
	t.Helper()

	file, err := pe.NewFile(bytes.NewReader(uki))
	require.NoError(t, err)

	section := file.Section(".initrd")
	require.NotNil(t, section)

	data, err := section.Data()
	require.NoError(t, err)

	archive, found := bytes.CutPrefix(data[:section.VirtualSize], []byte(placeholder))
	require.True(t, found)

	dir := t.TempDir()
	runTool(t, tools, dir, archive, "sh", "-c", "zstd -dc | cpio -id --quiet && unsquashfs -no-progress -quiet -d root ./*.sqsh")

	return filepath.Join(dir, "root")
}

// runTool runs a program in a folder, with the tools in its PATH.
func runTool(t *testing.T, tools, dir string, input []byte, name string, args ...string) {
	t.Helper()

	// env looks for the program in the PATH that it is given, os/exec in that of the test.
	cmd := exec.CommandContext(t.Context(), "env", append([]string{name}, args...)...)
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(input)
	cmd.Env = append(os.Environ(), "PATH="+tools+":"+os.Getenv("PATH"))

	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}
