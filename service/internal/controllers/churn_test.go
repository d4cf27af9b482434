// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/discover"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/service/internal/persist"
)

// TestPolicyController_ForgetsUnderChurn: pods that come and go, each with a name of its own, leave little behind.
func TestPolicyController_ForgetsUnderChurn(t *testing.T) {
	ticks := newTicking(t)

	for i := range 2000 {
		id := fmt.Sprintf("spegel/pod-%d/registry", i)

		ticks.tick(t, map[string]float64{id: 0.2})
		ticks.c.Feed.Remove(id)
		require.NoError(t, ticks.c.reconcile(context.Background(), ticks.w, false, ticks.logger))
	}

	known := &ticks.c.decider.workloads
	assert.Len(t, known.known, maxEnded)
	assert.Contains(t, known.known, "spegel/pod-1999/registry", "the last ones are kept")
	assert.Empty(t, known.saved, "workloads without a hold and a back-off need no state")
	assert.ElementsMatch(t, slices.Collect(maps.Keys(known.known)), ticks.c.History.Targets(), "the others left no series")
}

// TestPolicyController_KeepsABackoffUnderChurn: a workload whose place others took continues with its back-off, for an hour.
func TestPolicyController_KeepsABackoffUnderChurn(t *testing.T) {
	const id = "spegel/mine/registry"

	ticks := newTicking(t)
	ticks.c.decider.workloads = newWorkloads(map[string]persist.Workload{id: {SavedState: policy.SavedState{Level: 3, Released: ticks.now}}}, ticks.now)

	visit := func(id string) int {
		ticks.tick(t, map[string]float64{id: 0.2})
		level := ticks.c.decider.workloads.known[id].SavedState().Level
		ticks.c.Feed.Remove(id)
		require.NoError(t, ticks.c.reconcile(context.Background(), ticks.w, false, ticks.logger))

		return level
	}

	others := func() {
		for i := range 2 * maxEnded {
			visit(fmt.Sprintf("spegel/pod-%d/registry", i))
		}
	}

	assert.Equal(t, 3, visit(id))
	others()
	require.NotContains(t, ticks.c.decider.workloads.known, id)
	assert.Equal(t, 3, visit(id))
	others()

	ticks.now += retention + time.Second
	visit("spegel/another/registry")
	assert.Zero(t, visit(id), "after an hour it begins anew")
}

func TestWorkloads_BoundsSavedStates(t *testing.T) {
	w := newWorkloads(nil, 0)

	for i := range 1000 {
		w.keep(fmt.Sprint(i), persist.Workload{SavedState: policy.SavedState{Level: 1}}, time.Duration(i))
	}

	assert.Len(t, w.saved, maxSaved)
	assert.Contains(t, w.saved, "999", "the last ones are kept")
}

func TestSelectedPods_AreBounded(t *testing.T) {
	var pods selectedPods

	now := time.Now()

	for i := range 5000 {
		now = now.Add(time.Millisecond)
		pods = pods.add([]discover.Container{{Namespace: "spegel", Pod: fmt.Sprint(i), PodUID: fmt.Sprint("u", i)}}, now)
	}

	assert.LessOrEqual(t, len(pods), maxPods)
	assert.Contains(t, pods, "u4999", "the last ones are known")
}
