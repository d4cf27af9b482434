// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/spegel-guard/spegel-guard/internal/compare"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
	"github.com/spegel-guard/spegel-guard/test/incident"
)

// past is a history of points of ten seconds.
func past(length time.Duration, cores func(step int) float64) *guardv1alpha1.History {
	series := &guardv1alpha1.Series{Target: "spegel/spegel-1/registry"}

	for step := range int(length / (10 * time.Second)) {
		cpu := cores(step)
		tx, alloc := cpu*700e3, cpu*16e6

		series.Points = append(series.Points, &guardv1alpha1.Point{
			Over: durationpb.New(10 * time.Second), CpuCores: &cpu, TxBytesPerSecond: &tx, AllocBytesPerSecond: &alloc,
		})
	}

	return &guardv1alpha1.History{Series: []*guardv1alpha1.Series{series}}
}

func steady(cores float64) func(int) float64 { return func(int) float64 { return cores } }

// TestMinutes_AreOfContinuousTime: a guard's averages over a minute are a bit shorter, and what is on both sides of a gap is not averaged.
func TestMinutes_AreOfContinuousTime(t *testing.T) {
	start := time.Unix(1_000_000_000, 0)

	var points []*guardv1alpha1.Point

	add := func(from, over time.Duration, cores float64) {
		points = append(points, &guardv1alpha1.Point{
			At: timestamppb.New(start.Add(from + over)), Over: durationpb.New(over), CpuCores: &cores,
		})
	}

	add(0, time.Minute-time.Millisecond, 1)
	add(time.Minute-time.Millisecond, time.Minute-time.Millisecond, 2)
	add(2*time.Minute-2*time.Millisecond, 30*time.Second, 3)
	add(time.Hour, 30*time.Second, 4)
	add(time.Hour+30*time.Second, 30*time.Second, 6)

	assert.Equal(t, []float64{1, 2, 5}, minutes(points, config.SignalCPU))
}

func TestSuggestion_FollowsUsualLevels(t *testing.T) {
	// One minute in three.
	bursts := func(step int) float64 {
		if step/6%3 == 0 {
			return 2
		}

		return 0.05
	}

	for _, test := range []struct {
		name    string
		past    map[string]*guardv1alpha1.History
		cpu     string
		ceiling int64
		raised  int
		leftOut map[string]string
	}{
		{"at rest", map[string]*guardv1alpha1.History{"a": past(time.Hour, steady(0.006)), "b": past(time.Hour, steady(0.01))}, "550m", 500, 0, nil},
		{"bursts", map[string]*guardv1alpha1.History{"a": past(time.Hour, bursts), "b": past(time.Hour, steady(0.05))}, "550m", 500, 0, nil},
		// 0.8 plus 3.5 times 5 % of it is 0.94.
		{"all busy", map[string]*guardv1alpha1.History{"a": past(time.Hour, steady(0.8)), "b": past(time.Hour, steady(0.7))}, "1410m", 940, 2, nil},
		{
			"culprit", map[string]*guardv1alpha1.History{"a": past(time.Hour, steady(1.8)), "b": past(time.Hour, steady(0.25)), "c": past(time.Hour, steady(0.28))},
			"550m", 500, 0, map[string]string{"a": "left out: culprit", "b": "left out: affected", "c": "left out: affected"},
		},
		{"just started", map[string]*guardv1alpha1.History{"a": past(9*time.Minute, steady(0.8))}, "550m", 500, 0, map[string]string{"a": "left out: less than 10m of history"}},
		{"pod that has just started", map[string]*guardv1alpha1.History{"a": {Series: slices.Concat(
			past(time.Hour, steady(0.01)).GetSeries(), past(3*time.Minute, steady(2)).GetSeries(),
		)}}, "550m", 500, 0, nil},
		{
			"impossible", map[string]*guardv1alpha1.History{"a": past(time.Hour, steady(1e16)), "b": past(time.Hour, steady(0.01))},
			"550m", 500, 0, map[string]string{"a": "left out: no threshold is high enough for cpu of 11750000000000000000m"},
		},
		{"no target", map[string]*guardv1alpha1.History{"a": {}}, "550m", 500, 0, map[string]string{"a": "left out: less than 10m of history"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var nodes []usualNode

			for name, history := range test.past {
				nodes = append(nodes, usualOf(name, history))
			}

			leaveOut(nodes)

			for _, n := range nodes {
				assert.Equal(t, test.leftOut[n.name], n.leftOut, n.name)
			}

			document, raised, err := suggestion(nodes)
			require.NoError(t, err)
			assert.Len(t, raised, test.raised)

			cfg, err := config.Parse(document)
			require.NoError(t, err, "%s", document)
			assert.Equal(t, test.cpu, cfg.Rules[0].Threshold.String())
			assert.Equal(t, test.cpu, cfg.Rules[2].Credit.Earn.String())
			assert.Equal(t, test.ceiling, cfg.Ceiling.CPU.Millicores)
			assert.Contains(t, string(document), "# Suggested from the last day")

			if test.raised == 0 {
				assert.Equal(t, config.Default().Policy(), cfg.Policy(), "the defaults")
			}
		})
	}
}

// TestSuggestion_LeavesOutTheSpinOfRecordings: the history of a recorded spin raises no threshold.
func TestSuggestion_LeavesOutTheSpinOfRecordings(t *testing.T) {
	recordings, err := incident.Recordings()
	require.NoError(t, err)

	for _, recording := range recordings {
		// Without the peers' traffic they cannot be told from busy nodes.
		if recording.Name == "test-machine" {
			continue
		}

		var nodes []usualNode

		for _, node := range recording.Nodes {
			usual := usualNode{name: node.Name, covered: time.Hour, levels: map[compare.Metric]compare.Level{}}

			for step := range node.Intervals {
				i := node.Intervals[step]
				for metric, value := range map[compare.Metric]float64{compare.CPU: i.CPU, compare.TX: i.TX, compare.Alloc: i.Allocation} {
					if value == value { // not NaN
						usual.levels[metric] = compare.LevelOf([]float64{value})
					}
				}
			}

			nodes = append(nodes, usual)
		}

		leaveOut(nodes)

		_, raised, err := suggestion(nodes)
		require.NoError(t, err)
		assert.Empty(t, raised, recording.Name)
	}
}

// TestSuggest_PrintsValidDocument: the nodes of the incident have no level of their own to suggest a threshold from.
func TestSuggest_PrintsValidDocument(t *testing.T) {
	c := newCluster(t)
	got := c.run("config", "suggest")
	require.Equal(t, 0, got.code, got.stderr)
	compareGolden(t, "config-suggest", got.stdout)

	path := filepath.Join(t.TempDir(), "guard.yaml")
	require.NoError(t, os.WriteFile(path, []byte(got.stdout), 0o600))
	assert.Equal(t, 0, c.run("config", "validate", path).code)

	// One node cannot be compared with others: what it uses is its usual level.
	got = c.run("config", "suggest", "-n", "talos-prod-2")
	require.Equal(t, 0, got.code, got.stderr)
	assert.Contains(t, got.stderr, "cpu of talos-prod-2 is usually up to")
	assert.Contains(t, got.stderr, "find out why before you use")

	// A threshold without the level of every node could throttle one.
	c.addresses["talos-prod-3"] = "127.0.0.1:1"
	got = c.run("config", "suggest")
	assert.Equal(t, exitUnavailable, got.code)
	assert.Empty(t, got.stdout)
}
