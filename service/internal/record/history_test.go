// SPDX-License-Identifier: MPL-2.0

package record_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

func counters(at time.Duration, cores float64, allocatedAt time.Duration) policy.Sample {
	return policy.Sample{
		At: at, CPU: policy.Counter{Total: cores * at.Seconds()}, TX: policy.Counter{Total: 1000 * at.Seconds()},
		RX:         policy.Counter{Unavailable: "host network"},
		Allocation: policy.Counter{Total: 2e6 * allocatedAt.Seconds(), At: allocatedAt},
		Periods:    uint64(at / (100 * time.Millisecond)), Throttled: uint64(at / (400 * time.Millisecond)),
	}
}

func TestHistory_AveragesCounters(t *testing.T) {
	var history record.History

	// Application metrics are scraped every 15 s.
	for at := time.Second; at <= 62*time.Second; at += time.Second {
		scraped := max(15*time.Second, at.Truncate(15*time.Second))
		history.Add("a", "c1", counters(at, 0.5, scraped))
	}

	points := history.Points("a", 0)
	require.Len(t, points, 6)

	for i, point := range points {
		assert.Equal(t, time.Duration(i+1)*10*time.Second+time.Second, point.At)
		assert.Equal(t, record.HistoryStep, point.Over)
		assert.InDelta(t, 0.5, point.CPU, 1e-9)
		assert.InDelta(t, 1000, point.TX, 1e-9)
		assert.True(t, math.IsNaN(point.RX), "unavailable")
		assert.InDelta(t, 0.25, point.Throttled, 0.01)
	}

	assert.InDelta(t, 2e6, points[2].Allocation, 1)
	assert.InDelta(t, 2e6, points[4].Allocation, 1)
	assert.InDelta(t, 2e6, points[5].Allocation, 1, "the part before the scrape at 60 s")

	assert.Len(t, history.Points("a", 41*time.Second), 2)
	assert.Empty(t, history.Points("b", 0))

	assert.Len(t, history.Minutes("a", 0), 6, "the minute waits for the scrape after its end")

	history.Forget("a")
	assert.Equal(t, []time.Duration{61 * time.Second}, ends(history.Points("a", 0)), "the average over a minute stays")
}

func TestHistory_DoesNotCompareContainers(t *testing.T) {
	var history record.History

	history.Add("a", "c1", counters(100*time.Second, 1, 0))
	history.Add("a", "c1", counters(110*time.Second, 1, 0))
	// The counters of the new container start at zero.
	history.Add("a", "c2", policy.Sample{At: 120 * time.Second})
	history.Add("a", "c2", policy.Sample{At: 130 * time.Second, CPU: policy.Counter{Total: 2}})

	points := history.Points("a", 0)
	require.Len(t, points, 2)
	assert.InDelta(t, 1, points[0].CPU, 1e-9)
	assert.InDelta(t, 0.2, points[1].CPU, 1e-9)
}

func TestHistory_KeepsAnHour(t *testing.T) {
	var history record.History

	for i := range 2 * record.HistoryPoints {
		history.Add("a", "c", policy.Sample{At: time.Duration(i) * record.HistoryStep, CPU: policy.Counter{Total: float64(i)}})
	}

	points := history.Points("a", (record.HistoryPoints-1)*record.HistoryStep)
	require.Len(t, points, record.HistoryPoints)
	assert.Equal(t, time.Duration(record.HistoryPoints)*record.HistoryStep, points[0].At, "the oldest first")
	assert.Equal(t, time.Duration(2*record.HistoryPoints-1)*record.HistoryStep, points[record.HistoryPoints-1].At)
}

func TestHistory_NilIgnoresSamples(t *testing.T) {
	var history *record.History

	history.Add("a", "c", policy.Sample{})
	history.AddNode(&resources.NodeStatsSpec{})
	history.Forget("a")
	assert.Empty(t, history.Points("a", 0))
	assert.Empty(t, history.Targets())
}
