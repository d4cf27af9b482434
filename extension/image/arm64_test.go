// SPDX-License-Identifier: MPL-2.0

//go:build linux

package image_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/extension"
)

// TestARM64Binary_Runs runs the binary of the arm64 image in qemu-user.
func TestARM64Binary_Runs(t *testing.T) {
	qemu, dir := os.Getenv("SPEGEL_GUARD_QEMU_ARM64"), os.Getenv("SPEGEL_GUARD_UNPACKED")
	if qemu == "" || dir == "" {
		t.Skip("run make test-extension, which fetches QEMU and unpacks the image")
	}

	manifest, err := extension.ReadManifest(tree)
	require.NoError(t, err)

	binary := filepath.Join(dir, extension.RootfsFolder, extension.BinaryPath)

	out, err := exec.CommandContext(t.Context(), qemu, binary, "version").CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Equal(t, manifest.Version+"\n", string(out))

	document := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(document, []byte("mode: observe\nrules: [{name: A, expression: cpu > 0.4}]\n"), 0o600))

	out, err = exec.CommandContext(t.Context(), qemu, binary, "config", "validate", document).CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Contains(t, string(out), "is valid")

	require.NoError(t, os.WriteFile(document, []byte("mode: kill\n"), 0o600))

	out, err = exec.CommandContext(t.Context(), qemu, binary, "config", "validate", document).CombinedOutput()
	require.Error(t, err)
	assert.Contains(t, string(out), `line 1: invalid mode "kill": must be`)
}
