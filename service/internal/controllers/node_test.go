// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/discover"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/host"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

type noPods struct{}

func (noPods) Pods(context.Context, map[string]string) ([]discover.Pod, error) { return nil, nil }

// TestNodeController_ContentStoreAppears: blobs and disk are unavailable, with the reason, until the content store is
// there; then they are measured, without a restart and well before the usual interval.
func TestNodeController_ContentStoreAppears(t *testing.T) {
	store := filepath.Join(t.TempDir(), "var", "lib", "store")
	s := newSuite(t, newState(t), &NodeController{Host: host.Host{Proc: "/proc"}, Content: store, Pods: noPods{}, Interval: 50 * time.Millisecond})

	stats := await(s, resources.NewNodeStats(), func(s resources.NodeStatsSpec) bool {
		missing := s.ContentBlobs.Provenance == resources.ProvenanceUnavailable && s.DiskBytes.Provenance == resources.ProvenanceUnavailable

		return missing && s.ContentBlobs.Reason != "not read yet" && s.DiskBytes.Reason != "not read yet"
	})
	assert.Contains(t, stats.ContentBlobs.Reason, store)
	assert.Contains(t, stats.DiskBytes.Reason, store)

	require.NoError(t, os.MkdirAll(filepath.Join(store, "blobs", "sha256"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(store, "blobs", "sha256", "a"), []byte("blob"), 0o644))

	await(s, resources.NewNodeStats(), func(s resources.NodeStatsSpec) bool {
		return s.ContentBlobs.Provenance == resources.ProvenanceMeasured && s.ContentBlobs.Value == 1 && s.ContentBytes.Value == 4 &&
			s.DiskBytes.Provenance == resources.ProvenanceMeasured && s.DiskBytes.Value > 0
	})
}

// TestNodeController_KeepsTheTraffic hands each sample to the history. With a sample of HistoryStep ago the first one ends a point.
func TestNodeController_KeepsTheTraffic(t *testing.T) {
	t.Parallel()

	history := &record.History{}
	history.AddNode(&resources.NodeStatsSpec{Clock: boottime.Now() - record.HistoryStep})
	require.Empty(t, history.NodePoints(0))

	newSuite(t, newState(t), &NodeController{Host: host.Host{Proc: "/proc"}, Content: t.TempDir(), Pods: noPods{}, History: history})

	require.Eventually(t, func() bool { return len(history.NodePoints(0)) > 0 }, patience, 10*time.Millisecond)
	assert.False(t, math.IsNaN(history.NodePoints(0)[0].TX))
}
