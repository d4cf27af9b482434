// SPDX-License-Identifier: MPL-2.0

package record_test

import (
	"fmt"
	"math"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

// run adds samples of a target each ten seconds after a time until another one.
func run(history *record.History, target string, from, to time.Duration, cores float64) {
	for at := from; at <= to; at += record.HistoryStep {
		history.Add(target, "c", counters(at, cores, 0))
	}
}

func ends(points []record.Point) []time.Duration {
	var all []time.Duration

	for _, p := range points {
		all = append(all, p.At)
	}

	return all
}

func TestHistory_KeepsADayOfMinutes(t *testing.T) {
	var history record.History

	run(&history, "a", 0, record.HistoryKept+3*time.Hour+20*time.Second, 0.5)

	points := history.Minutes("a", 0)
	require.Len(t, points, record.HistoryMinutes+2, "and the two points since the last minute")

	for i, p := range points[:record.HistoryMinutes] {
		require.Equal(t, 3*time.Hour+time.Duration(i+1)*time.Minute, p.At)
		require.Equal(t, time.Minute, p.Over)
		require.InDelta(t, 0.5, p.CPU, 1e-6)
		require.InDelta(t, 1000, p.TX, 1e-3)
		require.InDelta(t, 0.25, p.Throttled, 0.01)
		require.True(t, math.IsNaN(p.RX), "unavailable")
	}

	assert.Equal(t, record.HistoryKept+3*time.Hour+20*time.Second, points[len(points)-1].At)
}

// TestHistory_KeepsItsStepWhenSamplesAreLate: samples once in a step come a bit early and a bit late.
func TestHistory_KeepsItsStepWhenSamplesAreLate(t *testing.T) {
	var history record.History

	for i := range 361 {
		late := time.Duration(i*7919%400) * time.Millisecond
		history.Add("a", "c", counters(time.Duration(i)*record.HistoryStep+late, 0.5, 0))
	}

	points := history.Points("a", 0)
	require.Len(t, points, 360)

	for _, p := range points {
		require.InDelta(t, record.HistoryStep, p.Over, float64(400*time.Millisecond))
		require.InDelta(t, 0.5, p.CPU, 1e-9)
	}

	for _, p := range history.Minutes("a", 0) {
		require.InDelta(t, time.Minute, p.Over, float64(400*time.Millisecond))
	}
}

// TestHistory_LeavesGaps: what is on both sides of a gap is not averaged, and no point covers it.
func TestHistory_LeavesGaps(t *testing.T) {
	var history record.History

	run(&history, "a", 0, 90*time.Second, 1)
	history.Add("a", "another", counters(20*time.Minute, 1, 0))
	run(&history, "a", 20*time.Minute, 22*time.Minute, 3)

	points := history.Minutes("a", 0)
	assert.Equal(t, []time.Duration{time.Minute, 90 * time.Second, 21 * time.Minute}, ends(points)[:3])
	assert.Equal(t, 30*time.Second, points[1].Over)
	assert.InDelta(t, 1, points[1].CPU, 1e-6)
	assert.InDelta(t, 3, points[2].CPU, 1e-6)
}

// TestHistory_LeavesShortGaps, as a container leaves that the kernel ends and the kubelet starts again.
func TestHistory_LeavesShortGaps(t *testing.T) {
	var history record.History

	run(&history, "a", 0, 20*time.Second, 1)
	history.Add("a", "another", counters(41*time.Second, 3, 0))
	run(&history, "a", 41*time.Second, 41*time.Second+2*time.Minute, 3)

	points := history.Minutes("a", 0)
	require.Len(t, points, 3)
	assert.Equal(t, []time.Duration{20 * time.Second, 101 * time.Second, 161 * time.Second}, ends(points))
	assert.Equal(t, 20*time.Second, points[0].Over)
	assert.InDelta(t, 1, points[0].CPU, 1e-6)
	assert.Equal(t, time.Minute, points[1].Over)
	assert.InDelta(t, 3, points[1].CPU, 1e-6)
}

// TestHistory_AveragesOverWhatIsKnown: a value that was unavailable for a part of a minute is averaged over the rest.
func TestHistory_AveragesOverWhatIsKnown(t *testing.T) {
	var history record.History

	for at := time.Duration(0); at <= time.Minute; at += record.HistoryStep {
		sample := counters(at, 2, 0)
		if at < 30*time.Second {
			sample.CPU = policy.Counter{Unavailable: "permission denied"}
		}

		history.Add("a", "c", sample)
	}

	points := history.Minutes("a", 0)
	require.Len(t, points, 1)
	assert.InDelta(t, 2, points[0].CPU, 1e-6)
}

func TestHistory_HasTheNodesTraffic(t *testing.T) {
	var history record.History

	for i := range 13 {
		at := time.Hour + time.Duration(i)*5*time.Second

		// The first rate is warming, the counters are there.
		history.AddNode(&resources.NodeStatsSpec{
			Clock: at, TXBytes: uint64(i) * 5 * 1.9e6, TXBytesPerSecond: resources.Reading{Provenance: resources.ProvenanceWarming},
			RXBytesPerSecond: resources.Unavailable("no links"),
		})
	}

	assert.Len(t, history.NodePoints(0), 6)
	assert.Empty(t, history.Targets(), "the node is none")

	points := history.NodeMinutes(0)
	require.Len(t, points, 1)
	assert.InDelta(t, 1.9e6, points[0].TX, 1)
	assert.True(t, math.IsNaN(points[0].RX))
	assert.True(t, math.IsNaN(points[0].CPU))
	assert.True(t, math.IsNaN(points[0].Throttled))
}

// TestHistory_IsBounded: targets that come and go leave the last ones, within the stated size.
func TestHistory_IsBounded(t *testing.T) {
	var history record.History

	require.Equal(t, uintptr(56), unsafe.Sizeof(record.Point{}))
	require.Equal(t, 25*66_240, record.HistorySize)

	history.AddNode(&resources.NodeStatsSpec{Clock: 1})
	run(&history, "runs", 0, 2*time.Minute, 1)

	for i := range 5 * record.HistoryTargets {
		id, from := fmt.Sprintf("pod-%03d", i), time.Duration(i)*time.Hour
		run(&history, id, from, from+2*time.Minute, 1)
		history.Forget(id)
	}

	targets := history.Targets()
	assert.Len(t, targets, record.HistoryTargets)
	assert.Contains(t, targets, "runs", "it has not ended, though it is the oldest")
	assert.Contains(t, targets, "pod-119")
	assert.NotContains(t, targets, "pod-000")
	assert.Len(t, history.Minutes("pod-119", 0), 2, "after it ended")

	// One that lived for less than a minute is kept, too; one without a point is not.
	run(&history, "short", 200*time.Hour, 200*time.Hour+20*time.Second, 1)
	history.Forget("short")
	assert.Len(t, history.Minutes("short", 0), 1)
	history.Add("never", "c", policy.Sample{})
	history.Forget("never")
	assert.NotContains(t, history.Targets(), "never")

	// While all of them run there is no place for another one.
	for i := range 2 * record.HistoryTargets {
		run(&history, fmt.Sprint("stays-", i), 300*time.Hour, 300*time.Hour+2*time.Minute, 1)
	}

	assert.Len(t, history.Targets(), record.HistoryTargets)
	assert.Contains(t, history.Targets(), "stays-0")
	assert.Empty(t, history.Minutes("stays-47", 0))
	assert.Contains(t, history.Targets(), "runs")
}
