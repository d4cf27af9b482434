// SPDX-License-Identifier: MPL-2.0

//go:build linux

package override_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/service/internal/override"
)

// TestManager_FullFileSystem: an override that has ended is not in force after a restart, although that cannot be saved.
func TestManager_FullFileSystem(t *testing.T) {
	// Only this thread has the mount. It ends with the test.
	runtime.LockOSThread()

	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); errors.Is(err, unix.EPERM) {
		t.Skipf("cannot make a mount namespace: %v", err)
	}

	dir := t.TempDir()
	require.NoError(t, unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""))
	require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })

	n := newNode(t, config.ModeEnforce)
	n.file.Path = filepath.Join(dir, "overrides.json")
	require.NoError(t, n.restart(t))

	for _, target := range []string{one, other} {
		_, err := n.Throttle(t.Context(), override.Request{Target: target, For: time.Hour}, 200)
		require.NoError(t, err)
	}

	err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 64<<10), 0o600)
	require.ErrorIs(t, err, unix.ENOSPC)

	_, err = n.Resume(t.Context(), override.Request{Target: one})
	require.NoError(t, err)
	assert.Equal(t, map[string]string{other: "throttle"}, n.inForce(t))
	assert.Equal(t, 1, n.logs.FilterMessageSnippet("failed to save overrides").Len())

	require.NoError(t, n.restart(t))
	assert.Empty(t, n.inForce(t), "the log says that a restart ends them")
}
