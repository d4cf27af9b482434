// SPDX-License-Identifier: MPL-2.0

//go:build linux

package process

import (
	"context"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// awaited starts a process, and AwaitEnd on it with another start if wanted.
func awaited(ctx context.Context, t *testing.T, proc string, later uint64) (*exec.Cmd, <-chan error) {
	t.Helper()

	cmd := exec.CommandContext(t.Context(), "sleep", "600")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})

	start, err := Start("/proc", cmd.Process.Pid)
	require.NoError(t, err)

	done := make(chan error, 1)

	go func() { done <- AwaitEnd(ctx, proc, cmd.Process.Pid, start+later) }()

	return cmd, done
}

func result(t *testing.T, done <-chan error) error {
	t.Helper()

	select {
	case err := <-done:
		return err
	case <-time.After(time.Minute):
		require.Fail(t, "AwaitEnd does not return")

		return nil
	}
}

func TestAwaitEnd(t *testing.T) {
	cmd, done := awaited(t.Context(), t, "/proc", 0)
	assert.Never(t, func() bool { return len(done) > 0 }, 50*time.Millisecond, 10*time.Millisecond)

	require.NoError(t, cmd.Process.Kill())
	require.NoError(t, result(t, done), "before its parent has waited for it")
}

func TestAwaitEnd_ContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, done := awaited(ctx, t, "/proc", 0)

	cancel()
	require.NoError(t, result(t, done))
}

func TestAwaitEnd_CannotBeKnown(t *testing.T) {
	t.Run("a pid that is used again", func(t *testing.T) {
		_, done := awaited(t.Context(), t, "/proc", 1)
		require.ErrorIs(t, result(t, done), errOther)
	})

	t.Run("a procfs of another pid namespace", func(t *testing.T) {
		_, done := awaited(t.Context(), t, t.TempDir(), 0)
		require.Error(t, result(t, done))
	})

	t.Run("an ended process", func(t *testing.T) {
		cmd := exec.CommandContext(t.Context(), "true")
		require.NoError(t, cmd.Run())
		require.Error(t, AwaitEnd(t.Context(), "/proc", cmd.Process.Pid, 1))
	})
}
