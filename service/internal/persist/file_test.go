// SPDX-License-Identifier: MPL-2.0

package persist_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/service/internal/persist"
)

func newFile(t *testing.T) persist.File[persist.Workload] {
	t.Helper()

	return persist.File[persist.Workload]{Path: filepath.Join(t.TempDir(), "run", "state.json"), BootID: "this"}
}

func saved() map[string]persist.Workload {
	return map[string]persist.Workload{"a/b/c": {
		SavedState: policy.SavedState{
			Hold: policy.Hold{Rule: "SpegelHighCPU", Since: time.Minute, Until: time.Hour, Millicores: 500}, Level: 2, Released: time.Second,
		},
		Yielded: time.Minute,
	}}
}

func TestFile_LoadsWhatWasSaved(t *testing.T) {
	file := newFile(t)

	none, err := file.Load()
	require.NoError(t, err)
	assert.Empty(t, none)

	require.NoError(t, file.Save(saved()))

	got, err := file.Load()
	require.NoError(t, err)
	assert.Equal(t, saved(), got)

	info, err := os.Stat(file.Path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestFile_IgnoresStateOfAnotherBoot(t *testing.T) {
	file := newFile(t)
	require.NoError(t, file.Save(saved()))

	file.BootID = "another"
	got, err := file.Load()
	require.NoError(t, err)
	assert.Empty(t, got)
}

func TestFile_IsRemovedWithoutEntries(t *testing.T) {
	file := newFile(t)
	require.NoError(t, file.Save(saved()))
	require.NoError(t, file.Save(map[string]persist.Workload{"a/b/c": {}}))
	assert.NoFileExists(t, file.Path)
	require.NoError(t, file.Remove(), "a missing file is no error")
}

func TestFile_LoadFailsOnADamagedFile(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "cut off": "{", "list": "[]", "version": `{"version":9}`} {
		t.Run(name, func(t *testing.T) {
			file := persist.File[persist.Workload]{Path: filepath.Join(t.TempDir(), "state.json")}
			require.NoError(t, os.WriteFile(file.Path, []byte(text), 0o600))

			got, err := file.Load()
			require.ErrorContains(t, err, file.Path)
			assert.NotNil(t, got)
			assert.Empty(t, got)
		})
	}
}

func TestFile_FailsOnADirectory(t *testing.T) {
	file := newFile(t)
	require.NoError(t, os.MkdirAll(filepath.Join(file.Path, "x"), 0o700))

	_, err := file.Load()
	require.ErrorContains(t, err, "failed to read saved state")
	require.ErrorContains(t, file.Save(saved()), "failed to save state")
	require.ErrorContains(t, file.Remove(), "failed to remove saved state")
}

func TestFile_SavesNothingWithoutAPath(t *testing.T) {
	file := persist.File[persist.Workload]{}

	require.NoError(t, file.Save(saved()))
	require.NoError(t, file.Remove())

	got, err := file.Load()
	require.NoError(t, err)
	assert.Empty(t, got)
}

func TestWorkload_IsZero(t *testing.T) {
	for name, test := range map[string]struct {
		workload persist.Workload
		want     bool
	}{
		"zero":    {persist.Workload{}, true},
		"level":   {persist.Workload{SavedState: policy.SavedState{Level: 1}}, false},
		"yielded": {persist.Workload{Yielded: time.Minute}, false},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.want, test.workload.IsZero()) })
	}
}
