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

func TestMemory(t *testing.T) {
	file := persist.File[persist.Workload]{Path: filepath.Join(t.TempDir(), "run", "memory.json"), BootID: "this"}

	empty, err := file.Load()
	require.NoError(t, err)
	assert.Empty(t, empty)

	want := map[string]persist.Workload{"a/b/c": {
		SavedState: policy.SavedState{
			Hold: policy.Hold{Rule: "SpegelHighCPU", Since: time.Minute, Until: time.Hour, Millicores: 500}, Level: 2, Released: time.Second,
		},
		Yielded: time.Minute,
	}}

	require.NoError(t, file.Save(want))

	got, err := file.Load()
	require.NoError(t, err)
	assert.Equal(t, want, got)

	info, err := os.Stat(file.Path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	other := persist.File[persist.Workload]{Path: file.Path, BootID: "another"}
	got, err = other.Load()
	require.NoError(t, err)
	assert.Empty(t, got, "clocks of another boot mean nothing")

	require.NoError(t, file.Save(map[string]persist.Workload{"a/b/c": {}}))
	assert.NoFileExists(t, file.Path, "nothing to remember leaves no mark")
	require.NoError(t, file.Remove())
}

func TestADamagedMemoryIsAnEmptyOne(t *testing.T) {
	file := persist.File[persist.Workload]{Path: filepath.Join(t.TempDir(), "memory.json")}

	for _, text := range []string{"", "{", "[]", `{"version":9}`} {
		require.NoError(t, os.WriteFile(file.Path, []byte(text), 0o600))

		got, err := file.Load()
		require.ErrorContains(t, err, file.Path, text)
		assert.Empty(t, got)
	}
}

func TestWithoutAPathNothingIsKept(t *testing.T) {
	file := persist.File[persist.Workload]{}

	require.NoError(t, file.Save(map[string]persist.Workload{"a": {SavedState: policy.SavedState{Level: 1}}}))

	got, err := file.Load()
	require.NoError(t, err)
	assert.Empty(t, got)
}
