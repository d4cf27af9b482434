// SPDX-License-Identifier: MPL-2.0

//go:build linux

package cgroup_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/cgroups/v3"
	"github.com/containerd/cgroups/v3/cgroup2"
	"github.com/containerd/cgroups/v3/cgroup2/stats"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/test/kernel"
)

// TestReaderAgreesWithContainerdCgroups compares the hot path with the library the field uses.
func TestReaderAgreesWithContainerdCgroups(t *testing.T) {
	dir, _ := newCgroup(t)
	require.Equal(t, cgroups.Unified, cgroups.Mode())

	reader, err := dir.NewReader()
	require.NoError(t, err)

	defer reader.Close()

	manager, err := cgroup2.Load("/" + dir.Path())
	require.NoError(t, err)

	busy := kernel.StartBusy(t, filepath.Join(root, dir.Path()))

	require.Eventually(t, func() bool {
		stat, err := reader.CPUStat()

		return err == nil && stat.UsageUsec > 0
	}, time.Minute, 10*time.Millisecond)
	busy.Stop(t)

	var (
		stat    cgroup.CPUStat
		metrics *stats.Metrics
	)

	// The kernel may still charge the last of a task that was waited for.
	require.Eventually(t, func() bool {
		before, beforeErr := reader.CPUStat()
		metrics, err = manager.Stat()

		var statErr error
		stat, statErr = reader.CPUStat()

		return errors.Join(beforeErr, err, statErr) == nil && stat == before
	}, time.Minute, 10*time.Millisecond)

	assert.NotZero(t, stat.UsageUsec)
	assert.Equal(t, metrics.GetCPU().GetUsageUsec(), stat.UsageUsec)
	assert.Equal(t, metrics.GetCPU().GetSystemUsec(), stat.SystemUsec)

	memory, ok := reader.MemoryCurrent()
	assert.True(t, ok)
	// The kernel charges memory in batches per processor, so two readings need not be equal.
	assert.InDelta(t, metrics.GetMemory().GetUsage(), memory, 1<<20)
}

func TestSamplingAllocatesNothing(t *testing.T) {
	dir, _ := newCgroup(t)

	reader, err := dir.NewReader()
	require.NoError(t, err)

	defer reader.Close()

	assert.Zero(t, testing.AllocsPerRun(100, func() {
		if _, err := reader.CPUStat(); err != nil {
			t.Error(err)
		}

		if _, err := reader.CPUPressure(); err != nil {
			t.Error(err)
		}

		_, current := reader.MemoryCurrent()
		_, peak := reader.MemoryPeak()
		_, events := reader.MemoryEvents()
		_, pids := reader.Pids()

		if !current || !peak || !events || !pids {
			t.Error("the test's kernel has all of these", current, peak, events, pids)
		}
	}))
}
