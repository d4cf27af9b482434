// SPDX-License-Identifier: MPL-2.0

//go:build linux

package nodestat_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/spegel-guard/spegel-guard/pkg/nodestat"
)

// TestContent_FileSystemMountedLater mounts another file system over the one that was read, as Talos mounts EPHEMERAL
// on /var: the figures are the new one's, although the folders have the same paths and times.
func TestContent_FileSystemMountedLater(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting takes root")
	}

	// The thread gets mounts of its own, and ends with the test.
	runtime.LockOSThread()
	require.NoError(t, unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS))
	require.NoError(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))

	root := t.TempDir()
	store := filepath.Join(root, "store")
	content := nodestat.NewContent(store)
	past := time.Now().Add(-time.Hour)

	mount := func(size string) {
		require.NoError(t, unix.Mount("tmpfs", root, "tmpfs", 0, "size="+size))
		t.Cleanup(func() { assert.NoError(t, unix.Unmount(root, 0)) })
	}

	fill := func(blobs int) {
		dir := filepath.Join(store, "blobs", "sha256")
		require.NoError(t, os.MkdirAll(dir, 0o755))

		for i := range blobs {
			require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), []byte("blob"), 0o644))
		}

		require.NoError(t, os.Chtimes(dir, past, past))
	}

	absent := func() {
		_, err := content.Usage()
		require.ErrorIs(t, err, os.ErrNotExist)
		assert.ErrorContains(t, err, store, "the reason names the store")

		_, err = nodestat.ReadDisk(store)
		require.ErrorIs(t, err, os.ErrNotExist)
		assert.ErrorContains(t, err, store)
	}

	present := func(blobs, size uint64) {
		for range 2 { // the second time from what is known
			usage, err := content.Usage()
			require.NoError(t, err)
			assert.Equal(t, nodestat.Usage{Blobs: blobs, Bytes: 4 * blobs}, usage)
		}

		disk, err := nodestat.ReadDisk(store)
		require.NoError(t, err)
		assert.Equal(t, size, disk.Total)
	}

	mount("1m")
	absent()
	fill(1)
	present(1, 1<<20)

	mount("2m")
	absent()
	fill(2)
	present(2, 2<<20)
}
