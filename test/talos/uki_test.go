// SPDX-License-Identifier: MPL-2.0

package talos

import (
	"bytes"
	"debug/pe"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// placeholder is an initramfs to which the imager appends extensions. Talos' would make the tests slow.
const placeholder = "placeholder of Talos' initramfs"

func writePlaceholder(t *testing.T) string {
	t.Helper()

	path := filepath.Join(t.TempDir(), "initramfs")
	require.NoError(t, os.WriteFile(path, []byte(placeholder), 0o644))

	return path
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

	cmd := exec.CommandContext(t.Context(), "env", append([]string{name}, args...)...)
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(input)
	cmd.Env = append(os.Environ(), "PATH="+tools+":"+os.Getenv("PATH"))

	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}
