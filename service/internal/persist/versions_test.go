// SPDX-License-Identifier: MPL-2.0

package persist_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/persist"
)

// boot of the files of releases.
const boot = "8f0f1c52-6d5b-4a5e-9e53-0d6a3c1f7b11"

// release returns a copy of a file that a release saved. They are never written again.
func release(t *testing.T, name string) string {
	t.Helper()

	data, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)

	path := filepath.Join(t.TempDir(), filepath.Base(name))
	require.NoError(t, os.WriteFile(path, data, 0o600))

	return path
}

func TestFile_LoadsDecisionsOfReleases(t *testing.T) {
	file := persist.File[persist.Workload]{
		Path: release(t, "v0.1/state.json"), BootID: boot,
		Check: func(w persist.Workload) error {
			return w.Check(policy.Bounds{Now: 2 * time.Hour, MaxHold: 24 * time.Hour, MinMillicores: 10, MaxMillicores: 1024_000})
		},
	}

	got, err := file.Load()
	require.NoError(t, err)
	assert.Equal(t, map[string]persist.Workload{
		"spegel/spegel-x7k2p/registry": {
			SavedState: policy.SavedState{
				Hold: policy.Hold{
					Rule: "SpegelHighCPU", Since: 90 * time.Minute, Until: 120 * time.Minute, Millicores: 500, Observe: true, FailedProbes: 2, Probing: true,
				},
				Level: 3, Released: 80 * time.Minute,
			},
			Yielded: 70 * time.Minute,
		},
		"spegel/spegel-q8d4z/registry": {SavedState: policy.SavedState{Level: 1, Released: time.Hour}},
	}, got)
}

func TestFile_LoadsOverridesOfReleases(t *testing.T) {
	file := persist.File[resources.OverrideSpec]{Path: release(t, "v0.1/overrides.json"), BootID: boot}

	got, err := file.Load()
	require.NoError(t, err)
	assert.Equal(t, map[string]resources.OverrideSpec{"spegel/spegel-x7k2p/registry": {
		Kind: resources.OverrideThrottle, CeilingMillicores: 300,
		Since: time.Date(2026, 11, 26, 6, 0, 0, 0, time.UTC), Until: time.Date(2026, 11, 26, 6, 10, 0, 0, time.UTC),
		SinceClock: 90 * time.Minute, UntilClock: 100 * time.Minute,
		By: resources.Person{Subject: "O=os:admin", Fingerprint: "5f", From: "10.5.0.1:42000"}, Reason: "a backup runs tonight",
	}}, got)
}

// TestFile_KeepsFileOfNewerVersion: what a newer version saved is refused with its version, and survives what is saved here.
func TestFile_KeepsFileOfNewerVersion(t *testing.T) {
	newer := func(value string) string {
		return sealed(`{"version":3,"bootID":"this","name":"a/b/c","value":`+value+`}`) + "\n"
	}

	for name, text := range map[string]string{
		"same values":         newer(`{"level":1}`),
		"more values":         newer(`{"level":1,"cpus":"0-3"}`),
		"other types":         newer(`{"level":"high","hold":[]}`),
		"many":                strings.Repeat(newer(`{"level":1}`), 50),
		"behind damaged ones": strings.Repeat("{\n", 20) + newer(`{"level":1}`),
		"behind an old one":   sealed(`{"version":2,"bootID":"this","name":"d","value":{"level":1}}`) + "\n" + newer(`{"level":1}`),
	} {
		t.Run(name, func(t *testing.T) {
			file := newFile(t)
			require.NoError(t, os.MkdirAll(filepath.Dir(file.Path), 0o700))
			require.NoError(t, os.WriteFile(file.Path, []byte(text), 0o600))

			got, err := file.Load()
			require.ErrorIs(t, err, persist.ErrNewer)
			require.ErrorContains(t, err, "its version is 3, must be 2: a newer spegel-guard saved it")
			require.ErrorContains(t, err, "kept in "+file.Path+persist.NewerSuffix)
			assert.NotContains(t, got, "a/b/c")

			require.NoError(t, file.Save(saved()))
			require.NoError(t, file.Save(nil))

			kept, err := os.ReadFile(file.Path + persist.NewerSuffix)
			require.NoError(t, err)
			assert.Equal(t, text, string(kept))

			none, err := file.Load()
			require.NoError(t, err)
			assert.Empty(t, none)
		})
	}
}
