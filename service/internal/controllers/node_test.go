// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/controller/runtime"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/impl/inmem"
	"github.com/cosi-project/runtime/pkg/state/impl/namespaced"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/pkg/discover"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/host"
)

type noPods struct{}

func (noPods) Pods(context.Context, map[string]string) ([]discover.Pod, error) { return nil, nil }

// TestNodeController_ContentStoreAppears: blobs and disk are unavailable, with the reason, until the content store is
// there; then they are measured, without a restart and well before the usual interval.
func TestNodeController_ContentStoreAppears(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	st := state.WrapCore(namespaced.NewState(inmem.Build))
	require.NoError(t, resources.Register(ctx, st))

	engine, err := runtime.NewRuntime(st, zap.NewNop())
	require.NoError(t, err)

	store := filepath.Join(t.TempDir(), "var", "lib", "store")
	require.NoError(t, engine.RegisterController(&NodeController{Host: host.Host{Proc: "/proc"}, Content: store, Pods: noPods{}}))

	done := make(chan error, 1)

	go func() { done <- engine.Run(ctx) }()

	defer func() {
		cancel()
		assert.NoError(t, <-done)
	}()

	waitFor := func(match func(*resources.NodeStatsSpec) bool) {
		var last resources.NodeStatsSpec

		require.Eventually(t, func() bool {
			stats, err := safe.StateGetByID[*resources.NodeStats](ctx, st, resources.NodeStatsID)
			if err != nil {
				return false
			}

			last = *stats.TypedSpec()

			return match(&last)
		}, patience, 50*time.Millisecond, "%+v", &last)
	}

	waitFor(func(s *resources.NodeStatsSpec) bool {
		missing := s.ContentBlobs.Provenance == resources.ProvenanceUnavailable && s.DiskBytes.Provenance == resources.ProvenanceUnavailable

		return missing && s.ContentBlobs.Reason != "not read yet" && s.DiskBytes.Reason != "not read yet"
	})

	stats, err := safe.StateGetByID[*resources.NodeStats](ctx, st, resources.NodeStatsID)
	require.NoError(t, err)
	assert.Contains(t, stats.TypedSpec().ContentBlobs.Reason, store)
	assert.Contains(t, stats.TypedSpec().DiskBytes.Reason, store)

	require.NoError(t, os.MkdirAll(filepath.Join(store, "blobs", "sha256"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(store, "blobs", "sha256", "a"), []byte("blob"), 0o644))

	waitFor(func(s *resources.NodeStatsSpec) bool {
		return s.ContentBlobs.Provenance == resources.ProvenanceMeasured && s.ContentBlobs.Value == 1 && s.ContentBytes.Value == 4 &&
			s.DiskBytes.Provenance == resources.ProvenanceMeasured && s.DiskBytes.Value > 0
	})
}
