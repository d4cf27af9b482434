// SPDX-License-Identifier: MPL-2.0

//go:build linux

package nodestat_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/nodestat"
)

func TestContent_CountsBlobs(t *testing.T) {
	root := t.TempDir()
	content := nodestat.NewContent(root)

	_, err := content.Usage()
	assert.ErrorIs(t, err, os.ErrNotExist, "containerd has not made it yet")

	blobs := filepath.Join(root, "blobs", "sha256")
	require.NoError(t, os.MkdirAll(blobs, 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(root, "blobs", "sha512", "a folder"), 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(root, "ingest"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(root, "ingest", "data"), []byte("half"), 0o644))

	for i := range 600 {
		require.NoError(t, os.WriteFile(filepath.Join(blobs, fmt.Sprint(i)), make([]byte, i), 0o644))
	}

	expect := func(want nodestat.Usage) {
		t.Helper()

		usage, err := content.Usage()
		require.NoError(t, err)
		assert.Equal(t, want, usage)
	}

	expect(nodestat.Usage{Blobs: 600, Bytes: 599 * 600 / 2})

	// Right after a change another may come with the same time: it must be seen.
	require.NoError(t, os.WriteFile(filepath.Join(blobs, "one more"), make([]byte, 1000), 0o644))
	expect(nodestat.Usage{Blobs: 601, Bytes: 599*600/2 + 1000})

	// Long after, the folder is believed to be as it was: what did not change is not read again.
	past := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(blobs, past, past))
	expect(nodestat.Usage{Blobs: 601, Bytes: 599*600/2 + 1000})
	require.NoError(t, os.Truncate(filepath.Join(blobs, "one more"), 5000))
	expect(nodestat.Usage{Blobs: 601, Bytes: 599*600/2 + 1000})

	require.NoError(t, os.Remove(filepath.Join(blobs, "one more")))
	expect(nodestat.Usage{Blobs: 600, Bytes: 599 * 600 / 2})
}

func TestReadDisk_AgreesWithDf(t *testing.T) {
	dir := t.TempDir()

	disk, err := nodestat.ReadDisk(dir)
	require.NoError(t, err)

	out, err := exec.Command("df", "--block-size=1", "--output=size,used,avail", dir).Output()
	require.NoError(t, err)

	fields := strings.Fields(strings.Split(strings.TrimSpace(string(out)), "\n")[1])
	want := make([]float64, 3)

	for i := range fields {
		want[i], err = strconv.ParseFloat(fields[i], 64)
		require.NoError(t, err)
	}

	// Others write at the same time.
	assert.InEpsilon(t, want[0], disk.Total, 0.001)
	assert.InEpsilon(t, want[1], disk.Used, 0.02)
	assert.InEpsilon(t, want[2], disk.Available, 0.02)
	assert.InDelta(t, want[1]/(want[1]+want[2]), disk.Ratio(), 0.02)

	_, err = nodestat.ReadDisk(filepath.Join(dir, "none"))
	assert.ErrorIs(t, err, os.ErrNotExist)
	assert.Zero(t, nodestat.Disk{}.Ratio())
}
