// SPDX-License-Identifier: MPL-2.0

package record_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

const (
	// quiet and loud are in bytes per second, before and after the change.
	quiet, loud = 1e6, 50e6
	change      = 10 * time.Minute
)

// allocated returns the bytes that a process has allocated until a time.
func allocated(at time.Duration) float64 {
	return quiet*min(at, change).Seconds() + loud*max(0, at-change).Seconds()
}

// scraped adds a sample of each second whose application metrics were scraped at the last multiple of an interval plus an offset.
func scraped(history *record.History, from, to, interval, offset time.Duration) {
	for at := from; at <= to; at += time.Second {
		sample := counters(at, 0.5, 0)
		sample.Allocation.At = max(0, at-offset).Truncate(interval) + offset

		if sample.Allocation.Total = allocated(sample.Allocation.At); sample.Allocation.At > at {
			sample.Allocation = policy.Counter{Unavailable: "not scraped"}
		}

		history.Add("a", "c", sample)
	}
}

// TestHistory_AllocationIsOfItsTime, as exactly as the scrapes tell: a change belongs to the points between the scrapes around it.
func TestHistory_AllocationIsOfItsTime(t *testing.T) {
	const end = 20 * time.Minute

	for _, interval := range []time.Duration{time.Second, 10 * time.Second, 15 * time.Second, 29 * time.Second, time.Minute} {
		for _, offset := range []time.Duration{0, 300 * time.Millisecond, 3500 * time.Millisecond, 9 * time.Second} {
			t.Run(fmt.Sprint(interval, " ", offset), func(t *testing.T) {
				var (
					history record.History
					sum     float64
					until   time.Duration
				)

				scraped(&history, time.Second, end, interval, offset)

				// Scrapes within a step are not compared with each other.
				apart := max(interval, record.HistoryStep) + record.HistoryStep

				for _, p := range history.Points("a", 0)[8:] {
					switch begin := p.At - p.Over; {
					case math.IsNaN(p.Allocation):
						require.Less(t, end-p.At, apart, "%s is not known long after", p.At)

						continue
					case p.At <= change-apart:
						require.InDelta(t, quiet, p.Allocation, 1, "%s", p.At)
					case begin >= change+apart:
						require.InDelta(t, loud, p.Allocation, 1, "%s", p.At)
					default:
						require.GreaterOrEqual(t, p.Allocation, quiet-1.0)
						require.LessOrEqual(t, p.Allocation, loud+1.0)
					}

					sum, until = sum+p.Allocation*p.Over.Seconds(), p.At
				}

				begin := history.Points("a", 0)[8]
				assert.InDelta(t, allocated(until)-allocated(begin.At-begin.Over), sum, 10, "nothing is counted twice or left out")

				minutes := history.Minutes("a", 2*time.Minute)
				minutes = minutes[:len(minutes)-10]
				begin, sum = minutes[0], 0

				for _, p := range minutes {
					sum += p.Allocation * p.Over.Seconds()
				}

				until = minutes[len(minutes)-1].At
				assert.InEpsilon(t, allocated(until)-allocated(begin.At-begin.Over), sum, 1e-5, "nor in the averages over a minute")
			})
		}
	}
}

// TestHistory_AllocationEndsWithItsScrapes: what was measured before a scrape failed stays, nothing is made up after it.
func TestHistory_AllocationEndsWithItsScrapes(t *testing.T) {
	var history record.History

	scraped(&history, time.Second, 100*time.Second, 10*time.Second, 5*time.Second)

	known := history.Points("a", 0)
	assert.InDelta(t, quiet, known[7].Allocation, 1)

	sample := counters(111*time.Second, 0.5, 0)
	sample.Allocation = policy.Counter{Unavailable: "connection refused"}
	history.Add("a", "c", sample)

	scraped(&history, 112*time.Second, 180*time.Second, 10*time.Second, 5*time.Second)

	points := history.Points("a", 0)
	assert.InDelta(t, quiet, points[8].Allocation, 1, "the part before the failed scrape")
	assert.True(t, math.IsNaN(points[9].Allocation), "from there to the next scrape")
	assert.InDelta(t, quiet, points[10].Allocation, 1, "the part after it")
}

// TestHistory_AllocationWaitsForAScrapeOnce: a counter that is not read any more holds no minute back.
func TestHistory_AllocationWaitsForAScrapeOnce(t *testing.T) {
	var history record.History

	for at := time.Duration(0); at <= time.Hour; at += record.HistoryStep {
		history.Add("a", "c", counters(at, 0.5, time.Nanosecond))
	}

	minutes := history.Minutes("a", 0)
	assert.Equal(t, time.Minute, minutes[54].At-minutes[53].At)
	assert.True(t, math.IsNaN(minutes[0].Allocation))
	assert.InDelta(t, 0.5, minutes[0].CPU, 1e-6)
}

// TestHistory_AllocationOfTheLastContainerIsKept: it ends before its last points.
func TestHistory_AllocationOfTheLastContainerIsKept(t *testing.T) {
	var history record.History

	scraped(&history, time.Second, 91*time.Second, 15*time.Second, time.Second)

	// The counters of the new container start at zero.
	for at := 100 * time.Second; at <= 220*time.Second; at += record.HistoryStep {
		sample := counters(at, 0.5, at)
		sample.Allocation.Total = 3e6 * (at - 100*time.Second).Seconds()
		history.Add("a", "new", sample)
	}

	points := history.Minutes("a", 0)
	require.Len(t, points, 4)
	assert.Equal(t, []time.Duration{61 * time.Second, 91 * time.Second, 160 * time.Second, 220 * time.Second}, ends(points))
	assert.InDelta(t, quiet, points[0].Allocation, 1)
	assert.InDelta(t, quiet, points[1].Allocation, 1)
	assert.InDelta(t, 3e6, points[2].Allocation, 1)
}

// TestHistory_SavesPointsThatWaitForAScrape when the service ends: no scrape comes any more, and the minute is over.
func TestHistory_SavesPointsThatWaitForAScrape(t *testing.T) {
	var before, after record.History

	scraped(&before, time.Second, 141*time.Second, time.Minute, 30*time.Second)
	require.Equal(t, 61*time.Second, before.Minutes("a", 0)[0].At)
	require.Equal(t, 71*time.Second, before.Minutes("a", 0)[1].At, "the second minute waits for the scrape at 150 s")

	file := historyFile(t)
	save(t, &before, file, 3*time.Minute)
	require.NoError(t, after.Restore(file, 3*time.Minute))
	assert.Equal(t, []time.Duration{61 * time.Second, 121 * time.Second}, ends(after.Minutes("a", 0)))
}
