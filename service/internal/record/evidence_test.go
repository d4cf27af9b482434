// SPDX-License-Identifier: MPL-2.0

package record_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

// source responds by path, and fails half-way on all other paths.
type source map[string]string

func (s source) Save(_ context.Context, path string, w io.Writer, _ int64) error {
	answer, ok := s[path]
	if !ok {
		io.WriteString(w, "half an answer")

		return errors.New("connection reset")
	}

	_, err := io.WriteString(w, answer)

	return err
}

const profilePath = "/debug/pprof/profile?seconds=5"

func capture(t *testing.T, dir string, source source) (string, error) {
	t.Helper()

	cfg := config.Default()
	cfg.Evidence.Profile.Duration = 5 * time.Second

	return (&record.Evidence{Dir: dir}).Capture(t.Context(), source, "spegel/spegel-a/../registry", cfg.Target.Metrics, cfg.Evidence)
}

func TestEvidence_SavesMetricsAndProfile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "evidence")

	kept, err := capture(t, dir, source{"/metrics": "go_goroutines 5\n", profilePath: "profile"})
	require.NoError(t, err)
	assert.Equal(t, dir, filepath.Dir(kept), "the target's name does not change the directory")

	for name, want := range map[string]string{"metrics.txt": "go_goroutines 5\n", "cpu.pprof": "profile"} {
		data, err := os.ReadFile(filepath.Join(kept, name))
		require.NoError(t, err)
		assert.Equal(t, want, string(data))
	}
}

func TestEvidence_RemovesPartialFiles(t *testing.T) {
	dir := t.TempDir()

	kept, err := capture(t, dir, source{"/metrics": "go_goroutines 5\n"})
	assert.Error(t, err)
	assert.FileExists(t, filepath.Join(kept, "metrics.txt"))
	assert.NoFileExists(t, filepath.Join(kept, "cpu.pprof"), "a partial profile is removed")

	kept, err = capture(t, dir, source{})
	assert.Error(t, err)
	assert.Empty(t, kept)

	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, entries, 1)
}

func TestEvidence_KeepsTheNewest(t *testing.T) {
	dir := t.TempDir()

	var last string

	for range record.EvidenceKept + 3 {
		var err error

		last, err = capture(t, dir, source{"/metrics": strings.Repeat("x", 100), profilePath: "p"})
		require.NoError(t, err)
	}

	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, entries, record.EvidenceKept)
	assert.Equal(t, filepath.Base(last), entries[record.EvidenceKept-1].Name())
}
