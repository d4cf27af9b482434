// SPDX-License-Identifier: MPL-2.0

package record

import (
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/bounded"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

const (
	// HistoryStep is the least time that a point covers. Points are longer if the sampling interval is.
	HistoryStep = 10 * time.Second
	// HistoryPoints is the maximum of points of a series, an hour at HistoryStep.
	HistoryPoints = 360
	// HistoryFine is how far back points of HistoryStep go.
	HistoryFine = HistoryPoints * HistoryStep
	// HistoryMinutes is the maximum of averages over a minute of a series.
	HistoryMinutes = 24 * 60
	// HistoryKept is how far back averages over a minute go. Gaps make some shorter, and then they go back less far.
	HistoryKept = HistoryMinutes * time.Minute
	// HistoryTargets is the maximum of targets with a history, those that have ended included. A new target takes the place of
	// the one that ended first. While all of them run it has no history.
	HistoryTargets = 24
	// HistorySize is the maximum of memory that the points of all series take, in bytes: 66,240 for each target and for the node
	// (HistoryPoints of 56 bytes and HistoryMinutes of 32), 1.7 MB in all. A node with one target that never restarts takes 132 kB.
	HistorySize = (HistoryTargets + 1) * (HistoryPoints*56 + HistoryMinutes*32)
)

// nodeSeries is the name of the node's own series. No target has it.
const nodeSeries = ""

// Point is the average of counters over some time. A value that is unavailable is NaN.
type Point struct {
	// At is the end of that time on CLOCK_BOOTTIME, Over its length.
	At, Over time.Duration
	// CPU is in cores, TX, RX and Allocation in bytes per second. Throttled is the share of CFS periods with throttling. The node
	// has TX and RX only, those of its physical links. Allocation is NaN before the application metrics were read in
	// that time or later, and until they were read after its end it is the average over the part before.
	CPU, TX, RX, Allocation, Throttled float64
}

// History holds the points of the targets and of the node, at most HistorySize bytes: an hour in steps of HistoryStep, and a day
// in averages over a minute, which Run saves. The zero History is empty; a nil History ignores what is added.
type History struct {
	mu     sync.Mutex
	series map[string]*series
}

// Add adds a target's newest sample. Points never span two containers.
func (h *History) Add(target, container string, sample policy.Sample) {
	if h == nil {
		return
	}

	h.mu.Lock()
	defer h.mu.Unlock()

	of := h.open(target)
	if of == nil {
		return
	}

	if of.container != container {
		of.container, of.known = container, false
	}

	of.add(sample)
}

// AddNode adds the newest traffic of the node's physical links.
func (h *History) AddNode(stats *resources.NodeStatsSpec) {
	none := policy.Counter{Unavailable: "not of a node"}

	h.Add(nodeSeries, "", policy.Sample{
		At: stats.Clock, CPU: none, Allocation: none,
		TX: linkCounter(stats.TXBytesPerSecond, stats.TXBytes), RX: linkCounter(stats.RXBytesPerSecond, stats.RXBytes),
	})
}

// linkCounter: a counter whose rate is still warming is available.
func linkCounter(reading resources.Reading, total uint64) policy.Counter {
	if reading.Provenance == resources.ProvenanceUnavailable {
		return policy.Counter{Unavailable: reading.Reason}
	}

	return policy.Counter{Total: float64(total)}
}

// open returns the series of a target that runs; nil if there is no place for another one.
func (h *History) open(target string) *series {
	// That of the node is always there.
	if h.series == nil {
		h.series = map[string]*series{nodeSeries: {}}
	}

	of, ok := h.series[target]
	if !ok {
		if len(h.series) > HistoryTargets {
			ended := bounded.Excess(h.series, 0, endedAt)
			if len(ended) == 0 {
				return nil
			}

			delete(h.series, ended[0])
		}

		of = &series{}
		h.series[target] = of
	}

	of.ended = false

	return of
}

func endedAt(_ string, s *series) (time.Duration, bool) { return s.last(), s.ended }

// Targets returns the targets with a history, those that have ended included, in the order of their ids.
func (h *History) Targets() []string {
	if h == nil {
		return nil
	}

	h.mu.Lock()
	defer h.mu.Unlock()

	return slices.DeleteFunc(slices.Sorted(maps.Keys(h.series)), func(id string) bool { return id == nodeSeries })
}

// Points returns the target's points that end after a time, the oldest first. Where points of HistoryStep begin later, as in a process
// that has just started, averages over a minute come before them.
func (h *History) Points(target string, after time.Duration) []Point {
	return h.read(target, after, (*series).fine)
}

// Minutes returns the target's averages over a minute that end after a time, the oldest first, and the points since the last one.
func (h *History) Minutes(target string, after time.Duration) []Point {
	return h.read(target, after, (*series).coarse)
}

// NodePoints is Points of the node.
func (h *History) NodePoints(after time.Duration) []Point { return h.Points(nodeSeries, after) }

// NodeMinutes is Minutes of the node.
func (h *History) NodeMinutes(after time.Duration) []Point { return h.Minutes(nodeSeries, after) }

func (h *History) read(target string, after time.Duration, points func(*series) []Point) []Point {
	if h == nil {
		return nil
	}

	h.mu.Lock()
	defer h.mu.Unlock()

	of, ok := h.series[target]
	if !ok {
		return nil
	}

	found := slices.DeleteFunc(points(of), func(p Point) bool { return p.At <= after })

	// No CFS period is not the same as none with throttling.
	if target == nodeSeries {
		for i := range found {
			found[i].Throttled = math.NaN()
		}
	}

	return found
}

// Forget says that a target has ended for good. Its averages over a minute are kept until their place or their time is over.
func (h *History) Forget(target string) {
	if h == nil {
		return
	}

	h.mu.Lock()
	defer h.mu.Unlock()

	of, ok := h.series[target]
	if !ok {
		return
	}

	of.end()

	if of.last() == 0 {
		delete(h.series, target)
	}
}
