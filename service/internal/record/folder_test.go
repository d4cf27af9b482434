// SPDX-License-Identifier: MPL-2.0

package record_test

import (
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

func TestFolder_WritesTexts(t *testing.T) {
	cfg := config.Evidence{Limit: config.MustAmount("64Ki")}
	at := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

	folder, err := (&record.Evidence{Dir: t.TempDir()}).Create("a/b/c", cfg)
	require.NoError(t, err)

	path := filepath.Join(folder.Dir, "metrics.txt")
	largest := strings.Repeat("x", 64<<10)

	require.ErrorContains(t, folder.Write("metrics.txt", []byte(largest+"x"), at), "65537 bytes are more than evidence.limit, 65536 bytes")
	assert.NoFileExists(t, path)

	require.NoError(t, folder.Write("metrics.txt", []byte(largest), at))

	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, at, info.ModTime().UTC(), "when the target answered")
	assert.Equal(t, os.FileMode(0o600), info.Mode())
	assert.Equal(t, int64(64<<10), info.Size())

	// A node that starts in 1970 has no time yet.
	require.NoError(t, folder.Write("metrics.txt", []byte("new"), time.Time{}))

	info, err = os.Stat(path)
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now(), info.ModTime(), time.Hour)
	assert.Equal(t, folder.Dir, folder.Finish())

	require.NoError(t, os.Remove(path))
	assert.Empty(t, folder.Finish(), "nothing is in it")
	assert.NoDirExists(t, folder.Dir)
}

// TestEvidence_UsesNoSequenceAgain: an action may name a folder that was removed.
func TestEvidence_UsesNoSequenceAgain(t *testing.T) {
	evidence := &record.Evidence{Dir: t.TempDir()}

	first, err := evidence.Create("a/b/c", config.Evidence{})
	require.NoError(t, err)
	require.Empty(t, first.Finish())

	second, err := evidence.Create("a/b/c", config.Evidence{})
	require.NoError(t, err)
	assert.NotEqual(t, first.Dir, second.Dir)
}
