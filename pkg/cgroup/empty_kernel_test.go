// SPDX-License-Identifier: MPL-2.0

//go:build linux

package cgroup_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/test/kernel"
)

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
	first, second := kernel.StartBusy(t, name), kernel.StartBusy(t, name)
	done := awaitEmpty(t.Context(), dir)
	requireWaits(t, done)

	first.Stop(t)
	requireWaits(t, done)

	second.Stop(t)
	requireReturns(t, done)

	requireReturns(t, awaitEmpty(t.Context(), dir)) // it is empty already
}

func TestDir_AwaitEmpty_Below(t *testing.T) {
	dir, name := newCgroup(t)
	require.NoError(t, os.Mkdir(name+"/below", 0o755))
	t.Cleanup(func() { os.Remove(name + "/below") })

	busy := kernel.StartBusy(t, name+"/below")
	done := awaitEmpty(t.Context(), dir)
	requireWaits(t, done)

	busy.Stop(t)
	requireReturns(t, done)
}

func TestDir_AwaitEmpty_ContextEnds(t *testing.T) {
	dir, name := newCgroup(t)
	busy := kernel.StartBusy(t, name)
	defer busy.Stop(t)

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

	busy := kernel.StartBusy(t, name)
	defer busy.Stop(t)

	requireReturns(t, awaitEmpty(t.Context(), dir))
}
