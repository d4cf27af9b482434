// SPDX-License-Identifier: MPL-2.0

package artifacts

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBuildOnce_RemovesFailedBuild(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache", "thing")

	require.Error(t, BuildOnce(dir, func(string) error { return os.ErrInvalid }))
	assert.NoDirExists(t, dir)

	require.NoError(t, BuildOnce(dir, func(tmp string) error { return os.WriteFile(filepath.Join(tmp, "x"), nil, 0o644) }))
	assert.FileExists(t, filepath.Join(dir, "x"))
	require.NoError(t, BuildOnce(dir, func(string) error { return os.ErrInvalid }), "built once")
}

func TestOutput_ErrorHasStandardError(t *testing.T) {
	out, err := Output(exec.CommandContext(t.Context(), "sh", "-c", "echo result"))
	require.NoError(t, err)
	assert.Equal(t, "result\n", string(out))

	_, err = Output(exec.CommandContext(t.Context(), "sh", "-c", "echo reason >&2; exit 3"))
	assert.ErrorContains(t, err, "exit status 3: reason")
}
