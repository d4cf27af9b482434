// SPDX-License-Identifier: MPL-2.0

package record_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
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

	// Whatever the system's clock was: above six digits, of another version, or not a capture.
	for _, name := range []string{"999998-b", "20260102T150405.000000000Z-a", "notes", "19700101T000030.000000000Z-a"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o700))
	}

	var kept []string

	for range record.EvidenceKept + 3 {
		last, err := capture(t, dir, source{"/metrics": strings.Repeat("x", 100), profilePath: "p"})
		require.NoError(t, err)

		kept = append(kept, filepath.Base(last))
	}

	assert.Equal(t, "1000000-spegel_spegel-a_.._registry", kept[1])

	var left []string

	entries, err := os.ReadDir(dir)
	require.NoError(t, err)

	for _, entry := range entries {
		left = append(left, entry.Name())
	}

	assert.ElementsMatch(t, kept[3:], left)
}

func TestEvidence_LongNames(t *testing.T) {
	evidence := &record.Evidence{Dir: t.TempDir()}
	cfg := config.Default()
	long := strings.Repeat("p", 250)

	var names []string

	for _, pod := range []string{long + "-a", long + "-b"} {
		kept, err := evidence.Capture(t.Context(), source{"/metrics": "x"}, "spegel/"+pod+"/"+strings.Repeat("c", 63), cfg.Target.Metrics, cfg.Evidence)
		require.NotEmpty(t, kept, "%v", err)

		_, name, _ := strings.Cut(filepath.Base(kept), "-")
		names = append(names, name)
	}

	assert.NotEqual(t, names[0], names[1])
}

func TestEvidence_CapturesAtOnce(t *testing.T) {
	evidence := &record.Evidence{Dir: t.TempDir()}
	cfg := config.Default()
	cfg.Evidence.Profile.Duration = 0

	var group sync.WaitGroup

	for range record.EvidenceKept - 1 {
		group.Go(func() {
			_, err := evidence.Capture(t.Context(), source{"/metrics": "x"}, "a/b/c", cfg.Target.Metrics, cfg.Evidence)
			assert.NoError(t, err)
		})
	}

	group.Wait()

	entries, err := os.ReadDir(evidence.Dir)
	require.NoError(t, err)
	assert.Len(t, entries, record.EvidenceKept-1)
}
