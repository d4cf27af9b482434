// SPDX-License-Identifier: MPL-2.0

package persist_test

import (
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
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
	}, "a/b/d": {
		SavedState: policy.SavedState{Baselines: []policy.SavedBaseline{{Signal: policy.SignalCPU, Hour: 1, Levels: []float64{0.25, -1, 0.2}}}},
	}}
}

func TestWorkload_Equal(t *testing.T) {
	for name, change := range map[string]func(*persist.Workload){
		"yielded":  func(w *persist.Workload) { w.Yielded++ },
		"hold":     func(w *persist.Workload) { w.Hold.Until++ },
		"level":    func(w *persist.Workload) { w.Level++ },
		"released": func(w *persist.Workload) { w.Released++ },
		"baseline": func(w *persist.Workload) {
			w.Baselines = []policy.SavedBaseline{{Signal: policy.SignalCPU, Hour: 1, Levels: []float64{0.25}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := saved()["a/b/c"], saved()["a/b/c"]
			assert.True(t, a.Equal(b))
			change(&b)
			assert.False(t, a.Equal(b))
			assert.False(t, b.Equal(a))
		})
	}
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
	for name, text := range map[string]string{
		"cut off": "{", "list": "[]", "version 1": `{"version":1,"bootID":"this","entries":{}}`, "blank line": "\n",
		"another version": sealed(`{"version":9}`), "no entry": sealed(`[]`),
	} {
		t.Run(name, func(t *testing.T) {
			file := persist.File[persist.Workload]{Path: filepath.Join(t.TempDir(), "state.json")}
			require.NoError(t, os.WriteFile(file.Path, []byte(text), 0o600))

			got, err := file.Load()
			require.ErrorContains(t, err, "line 1 of "+file.Path)
			assert.NotNil(t, got)
			assert.Empty(t, got)
		})
	}
}

// sealed returns an entry with its right checksum.
func sealed(entry string) string {
	return fmt.Sprintf(`{"crc32c":"%08x","entry":%s}`, crc32.Checksum([]byte(entry), crc32.MakeTable(crc32.Castagnoli)), entry)
}

// TestFile_ABadEntryCostsItselfOnly damages each byte of a file.
func TestFile_ABadEntryCostsItselfOnly(t *testing.T) {
	file := newFile(t)
	all := map[string]persist.Workload{}

	for _, name := range []string{"a", "b", "c", "d"} {
		workload := saved()["a/b/c"]
		workload.Level = len(all)
		all[name] = workload
	}

	require.NoError(t, file.Save(all))

	data, err := os.ReadFile(file.Path)
	require.NoError(t, err)

	for at := range data {
		damaged := slices.Clone(data)
		damaged[at] ^= 1
		require.NoError(t, os.WriteFile(file.Path, damaged, 0o600))

		got, err := file.Load()
		lost := len(all) - len(got)

		// A newline that is lost joins two lines.
		assert.LessOrEqual(t, lost, 2, "byte %d", at)
		assert.Equal(t, lost == 2, data[at] == '\n' && at < len(data)-1, "byte %d", at)
		assert.Equal(t, lost > 0, err != nil, "byte %d: %v", at, err)

		for name, workload := range got {
			assert.Equal(t, all[name], workload, "byte %d", at)
		}
	}
}

func TestFile_LeavesOutWhatTheCheckRefuses(t *testing.T) {
	file := newFile(t)
	bounds := policy.Bounds{Now: time.Hour, MaxHold: 24 * time.Hour, MinMillicores: 10, MaxMillicores: 1000}
	file.Check = func(w persist.Workload) error { return w.Check(bounds) }

	good := saved()["a/b/c"]
	late, huge := good, good
	late.Yielded = time.Hour + 1
	huge.Hold.Millicores = 1001

	entries := map[string]persist.Workload{"good": good, "late": late, "huge": huge}
	require.NoError(t, file.Save(entries))

	got, err := file.Load()
	require.ErrorIs(t, err, policy.ErrOutOfBounds)
	require.ErrorContains(t, err, `failed to load "late" from `+file.Path+": yielded at 1h0m0.000000001s after the boot is out of bounds: must be 0s..1h0m0s")
	require.ErrorContains(t, err, `failed to load "huge"`)
	assert.Equal(t, map[string]persist.Workload{"good": good}, got)

	for i := range 20 {
		entries[fmt.Sprint("late", i)] = late
	}

	require.NoError(t, file.Save(entries))

	got, err = file.Load()
	require.ErrorContains(t, err, "failed to load 14 more entries")
	assert.Equal(t, map[string]persist.Workload{"good": good}, got)
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
		"zero":     {persist.Workload{}, true},
		"level":    {persist.Workload{SavedState: policy.SavedState{Level: 1}}, false},
		"baseline": {persist.Workload{SavedState: policy.SavedState{Baselines: make([]policy.SavedBaseline, 1)}}, false},
		"yielded":  {persist.Workload{Yielded: time.Minute}, false},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.want, test.workload.IsZero()) })
	}
}

// TestFile_SaveOrRemove: an old file would put in force again what has ended.
func TestFile_SaveOrRemove(t *testing.T) {
	for _, test := range []struct {
		name string
		// prepare makes the path one that cannot be replaced.
		prepare func(t *testing.T, path string)
		stale   bool
	}{
		{"removed", func(t *testing.T, path string) { require.NoError(t, os.MkdirAll(path, 0o700)) }, false},
		{"not removed", func(t *testing.T, path string) { require.NoError(t, os.MkdirAll(filepath.Join(path, "file"), 0o700)) }, true},
		{"no folder", func(t *testing.T, path string) { require.NoError(t, os.WriteFile(filepath.Dir(path), nil, 0o600)) }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := newFile(t)
			test.prepare(t, file.Path)

			stale, err := file.SaveOrRemove(saved())
			require.Error(t, err)
			assert.Equal(t, test.stale, stale)

			if !test.stale {
				assert.NoDirExists(t, file.Path)
			}
		})
	}

	file := newFile(t)
	stale, err := file.SaveOrRemove(saved())
	require.NoError(t, err)
	assert.False(t, stale)
	assert.FileExists(t, file.Path)
}
