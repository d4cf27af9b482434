// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

// TestGuard_KeepsTheHistoryOverARestart: what an earlier process of this boot saved is loaded, and saved again at the end.
func TestGuard_KeepsTheHistoryOverARestart(t *testing.T) {
	const target = "spegel/spegel-1/registry"

	d := newDaemon(t)
	file := record.HistoryFile{Path: d.flags.history(), BootID: bootID("/proc", zap.NewNop())}
	require.Equal(t, d.dir+"/run/history.json", file.Path)

	var before record.History

	now := boottime.Now()
	before.Add(target, "c", policy.Sample{At: now - record.HistoryStep})
	before.Add(target, "c", policy.Sample{At: now, CPU: policy.Counter{Total: 5}})
	before.Forget(target)

	over, end := context.WithCancel(t.Context())
	end()
	require.NoError(t, before.Run(over, file, boottime.Now))

	t.Run("a process", func(t *testing.T) {
		d.start(t)
		d.condition(t, resources.ConditionConfig, resources.ReasonOK)
		require.NoError(t, file.Remove(), "it has been loaded")
	})

	var after record.History

	require.NoError(t, after.Restore(file, boottime.Now()))

	points := after.Minutes(target, 0)
	require.Len(t, points, 1)
	assert.InDelta(t, 0.5, points[0].CPU, 1e-6)
}
