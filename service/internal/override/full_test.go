// SPDX-License-Identifier: MPL-2.0

//go:build linux

package override_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/service/internal/override"
)

// TestManager_FullFileSystem: an override that has ended is not in force after a restart, although that cannot be saved. The others
// are saved once there is space.
func TestManager_FullFileSystem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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

		// run lets time pass on this thread.
		run := func(d time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()

			require.NoError(t, n.Run(ctx))
		}

		for _, target := range []string{one, other} {
			_, err := n.Throttle(t.Context(), override.Request{Target: target, For: time.Hour}, 200)
			require.NoError(t, err)
		}

		fill := func(name string) string {
			filler := filepath.Join(dir, name)
			require.ErrorIs(t, os.WriteFile(filler, make([]byte, 64<<10), 0o600), unix.ENOSPC)

			return filler
		}
		filler := fill("filler")

		_, err := n.Resume(t.Context(), override.Request{Target: one})
		require.NoError(t, err)

		fill("place of the old file")
		run(time.Minute)
		assert.Equal(t, map[string]string{other: "throttle"}, n.inForce(t))
		assert.Equal(t, 1, n.logs.FilterMessage("failed to save overrides, a restart of the service ends them").Len(), "though it is tried again")

		assert.NoFileExists(t, n.file.Path, "which a restart would load")

		require.NoError(t, os.Remove(filler))
		run(time.Minute)
		assert.Equal(t, 1, n.logs.FilterMessage("overrides are saved again").Len())

		require.NoError(t, n.restart(t))
		assert.Equal(t, map[string]string{other: "throttle"}, n.inForce(t))
	})
}
