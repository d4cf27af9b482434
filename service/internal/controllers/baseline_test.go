// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/persist"
)

const unusualCPU = `rules: [{name: Unusual, signal: cpu, threshold: 100m, baseline: {times: 3, learn: 2h}, for: 1m, window: 1m}]`

// newLearning returns ticks with a rule that learns, and with a file for what it learns.
func newLearning(t *testing.T) *ticking {
	t.Helper()

	ticks := newTickingWith(t, unusualCPU)
	ticks.c.decider.state = persist.File[persist.Workload]{Path: filepath.Join(t.TempDir(), "state.json"), BootID: "boot"}

	return ticks
}

// hours lets hours pass in which a target uses a number of cores.
func (t *ticking) hours(tb testing.TB, hours int, id string, cores float64) {
	tb.Helper()

	for range hours * 3600 {
		t.tick(tb, map[string]float64{id: cores})
	}
}

func (t *ticking) rule(tb testing.TB, id string) resources.RuleStatusSpec {
	tb.Helper()

	r, err := t.state.Get(tb.Context(), resources.NewRuleStatus(id).Metadata())
	require.NoError(tb, err)

	return *r.(*resources.RuleStatus).TypedSpec()
}

// TestPolicyController_LearnsABaseline, publishes it, saves it every hour, and only reports.
func TestPolicyController_LearnsABaseline(t *testing.T) {
	const id = "spegel/spegel-1x7k2/registry"

	ticks := newLearning(t)
	ticks.hours(t, 1, id, 0.2)
	ticks.tick(t, map[string]float64{id: 0.2})

	rule := ticks.rule(t, id+"/Unusual")
	assert.Equal(t, time.Hour, rule.Learned)
	assert.Equal(t, 2*time.Hour, rule.Learn)
	assert.Equal(t, "observe", rule.Mode)
	assert.Equal(t, "ok", rule.State)

	ticks.hours(t, 1, id, 0.2)

	rule = ticks.rule(t, id+"/Unusual")
	assert.Equal(t, 2*time.Hour, rule.Learned)
	assert.InDelta(t, 0.2, rule.Usual, 0.001)
	assert.InDelta(t, 0.6, rule.Threshold, 0.001)

	saved, err := ticks.c.decider.state.Load()
	require.NoError(t, err)
	require.Len(t, saved[id].Baselines, 1)
	assert.Equal(t, policy.SignalCPU, saved[id].Baselines[0].Signal)
	assert.Len(t, saved[id].Baselines[0].Levels, 2)

	for range 180 {
		ticks.tick(t, map[string]float64{id: 0.7})
	}

	assert.Equal(t, "firing", ticks.rule(t, id+"/Unusual").State)

	desired, err := ticks.state.Get(t.Context(), resources.NewDesiredCeiling(id).Metadata())
	require.NoError(t, err)
	assert.Equal(t, "observe", desired.(*resources.DesiredCeiling).TypedSpec().Mode)
}

// TestPolicyController_SteadyTickWithABaselineAllocatesNothing, unless an hour ends.
func TestPolicyController_SteadyTickWithABaselineAllocatesNothing(t *testing.T) {
	const id = "spegel/spegel-1x7k2/registry"

	ticks := newLearning(t)
	load := map[string]float64{id: 0.2}
	ticks.hours(t, 1, id, 0.2)

	for range 600 {
		ticks.tick(t, load)
	}

	ticks.w = forbidden{} // whatever it is asked for, it panics

	assert.Zero(t, testing.AllocsPerRun(600, func() { ticks.tick(t, load) }))
}

// TestPolicyController_KeepsABaselineOverARollout: the next pod of the DaemonSet continues with it, another one does not.
func TestPolicyController_KeepsABaselineOverARollout(t *testing.T) {
	const before = "spegel/spegel-1x7k2/registry"

	for _, test := range []struct {
		name, id string
		learned  time.Duration
	}{
		{"next pod", "spegel/spegel-9zz4q/registry", 2 * time.Hour},
		{"same pod", before, 2 * time.Hour},
		{"another container", "spegel/spegel-9zz4q/proxy", 0},
		{"another workload", "spegel/mirror-9zz4q/registry", 0},
		{"another namespace", "kube-system/spegel-9zz4q/registry", 0},
		{"no such id", "registry", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			ticks := newLearning(t)
			ticks.hours(t, 2, before, 0.2)
			ticks.tick(t, map[string]float64{before: 0.2})
			ticks.c.Feed.Remove(before)
			require.NoError(t, ticks.c.reconcile(context.Background(), ticks.w, false, ticks.logger))

			ticks.tick(t, map[string]float64{test.id: 0.2})
			ticks.tick(t, map[string]float64{test.id: 0.2})
			assert.Equal(t, test.learned, ticks.rule(t, test.id+"/Unusual").Learned)
		})
	}
}

// TestPolicyController_ContinuesASavedBaseline after a restart of the service.
func TestPolicyController_ContinuesASavedBaseline(t *testing.T) {
	for _, id := range []string{"spegel/spegel-1x7k2/registry", "spegel/spegel-9zz4q/registry"} {
		t.Run(id, func(t *testing.T) {
			ticks := newLearning(t)
			ticks.now = 3 * time.Hour
			ticks.c.decider.workloads = newWorkloads(map[string]persist.Workload{"spegel/spegel-1x7k2/registry": {SavedState: policy.SavedState{
				Baselines: []policy.SavedBaseline{{Signal: policy.SignalCPU, Levels: []float64{0.2, -1, 0.3}}},
			}}}, ticks.now)

			ticks.tick(t, map[string]float64{id: 0.2})
			ticks.tick(t, map[string]float64{id: 0.2})

			rule := ticks.rule(t, id+"/Unusual")
			assert.Equal(t, 2*time.Hour, rule.Learned)
			assert.InDelta(t, 0.25, rule.Usual, 1e-9)
		})
	}
}

// TestPredecessor_LearnedLast, whatever the order of the map.
func TestPredecessor_LearnedLast(t *testing.T) {
	of := func(hour int64, levels ...float64) persist.Workload {
		return persist.Workload{SavedState: policy.SavedState{Baselines: []policy.SavedBaseline{{Signal: policy.SignalCPU, Hour: hour, Levels: levels}}}}
	}

	for range 20 {
		w := newWorkloads(map[string]persist.Workload{
			"spegel/spegel-a/registry": of(0, 1, 1, 1), "spegel/spegel-b/registry": of(4, 2), "spegel/spegel-c/registry": of(3, 3, 3),
			"spegel/other-d/registry": of(8, 4), "spegel/spegel-e/registry": {SavedState: policy.SavedState{Level: 1}},
		}, time.Hour)

		assert.Equal(t, of(3, 3, 3).Baselines, predecessor(&w, "spegel/spegel-z/registry"))
	}
}

// TestOwnerOf: a pod without a random part has no others; not what stands before a dash in its namespace's name.
func TestOwnerOf(t *testing.T) {
	for id, want := range map[string]string{
		"spegel/spegel-1x7k2/registry":       "spegel/spegel/registry",
		"kube-system/spegel-1x7k2/registry":  "kube-system/spegel/registry",
		"kube-system/spegel/registry":        "kube-system/spegel/registry",
		"kube-public/mirror/registry":        "kube-public/mirror/registry",
		"spegel/spegel-mirror-1x7k2/regis-x": "spegel/spegel-mirror/regis-x",
		"registry":                           "registry",
	} {
		t.Run(id, func(t *testing.T) { assert.Equal(t, want, ownerOf(id)) })
	}
}
