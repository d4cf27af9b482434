// SPDX-License-Identifier: MPL-2.0

//go:build linux

package cgroup_test

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
)

// runIn starts a process in the cgroup at a path.
func runIn(t *testing.T, name string) *exec.Cmd {
	t.Helper()

	cmd := exec.CommandContext(t.Context(), "sleep", "600")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	write(t, name+"/cgroup.procs", strconv.Itoa(cmd.Process.Pid))

	return cmd
}

func awaitEmpty(ctx context.Context, dir *cgroup.Dir) <-chan error {
	done := make(chan error, 1)

	go func() { done <- dir.AwaitEmpty(ctx) }()

	return done
}

// requireReturns is for a wait that must end. A change that has no event is never noticed.
func requireReturns(t *testing.T, done <-chan error) {
	t.Helper()

	select {
	case err := <-done:
		require.NoError(t, err)
	case <-time.After(time.Minute):
		require.Fail(t, "AwaitEmpty does not return")
	}
}

func requireWaits(t *testing.T, done <-chan error) {
	t.Helper()
	require.Never(t, func() bool { return len(done) > 0 }, 200*time.Millisecond, 20*time.Millisecond)
}

func TestDir_AwaitEmpty(t *testing.T) {
	dir, name := newCgroup(t)
	first, second := runIn(t, name), runIn(t, name)
	done := awaitEmpty(t.Context(), dir)
	requireWaits(t, done)

	require.NoError(t, first.Process.Kill())
	requireWaits(t, done)

	require.NoError(t, second.Process.Kill())
	requireReturns(t, done) // before its parent has waited for it

	requireReturns(t, awaitEmpty(t.Context(), dir)) // it is empty already
}

func TestDir_AwaitEmpty_Below(t *testing.T) {
	dir, name := newCgroup(t)
	require.NoError(t, os.Mkdir(name+"/below", 0o755))
	t.Cleanup(func() { os.Remove(name + "/below") })

	cmd := runIn(t, name+"/below")
	done := awaitEmpty(t.Context(), dir)
	requireWaits(t, done)

	require.NoError(t, cmd.Process.Kill())
	requireReturns(t, done)
}

func TestDir_AwaitEmpty_ContextEnds(t *testing.T) {
	dir, name := newCgroup(t)
	runIn(t, name)

	ctx, cancel := context.WithCancel(t.Context())
	done := awaitEmpty(ctx, dir)
	requireWaits(t, done)

	cancel()
	requireReturns(t, done)
}

// TestDir_AwaitEmpty_Removed: nothing runs in a cgroup that is gone, whatever is at its path.
func TestDir_AwaitEmpty_Removed(t *testing.T) {
	dir, name := newCgroup(t)
	require.NoError(t, os.Remove(name))
	require.NoError(t, os.Mkdir(name, 0o755))

	runIn(t, name)
	requireReturns(t, awaitEmpty(t.Context(), dir))
}
