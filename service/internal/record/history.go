// SPDX-License-Identifier: MPL-2.0

package record

import (
	"math"
	"slices"
	"sync"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

const (
	// HistoryStep is the least time that a point covers. Points are longer if the sampling interval is.
	HistoryStep = 10 * time.Second
	// HistoryPoints is the maximum of points per target, an hour at HistoryStep.
	HistoryPoints = 360
)

// Point is the average of a target's counters over some time. A value that is unavailable is NaN.
type Point struct {
	// At is the end of that time on CLOCK_BOOTTIME, Over its length.
	At, Over time.Duration
	// CPU is in cores, TX, RX and Allocation in bytes per second. Throttled is the share of CFS periods with throttling.
	CPU, TX, RX, Allocation, Throttled float64
}

// History holds the points of all targets. The zero History is empty; a nil History ignores what is added.
type History struct {
	mu      sync.Mutex
	targets map[string]*ring
}

type ring struct {
	container string
	// from is the sample that the next point begins with, if there is one.
	from  policy.Sample
	known bool
	// allocation is the newest rate. Application metrics are scraped less often than samples are taken.
	allocation float64
	// points is a ring once it is full; next is its oldest point then.
	points []Point
	next   int
}

// Add adds a target's newest sample. Points never span two containers.
func (h *History) Add(target, container string, sample policy.Sample) {
	if h == nil {
		return
	}

	h.mu.Lock()
	defer h.mu.Unlock()

	if h.targets == nil {
		h.targets = map[string]*ring{}
	}

	of, ok := h.targets[target]
	if !ok {
		of = &ring{}
		h.targets[target] = of
	}

	if of.container != container {
		of.container, of.known = container, false
	}

	of.add(sample)
}

// Points returns the target's points that end after a time, the oldest first.
func (h *History) Points(target string, after time.Duration) []Point {
	if h == nil {
		return nil
	}

	h.mu.Lock()
	defer h.mu.Unlock()

	of, ok := h.targets[target]
	if !ok {
		return nil
	}

	all := slices.Concat(of.points[of.next:], of.points[:of.next])

	return slices.DeleteFunc(all, func(p Point) bool { return p.At <= after })
}

// Forget removes a target.
func (h *History) Forget(target string) {
	if h == nil {
		return
	}

	h.mu.Lock()
	defer h.mu.Unlock()

	delete(h.targets, target)
}

func (r *ring) add(sample policy.Sample) {
	over := sample.At - r.from.At

	switch {
	case !r.known:
		r.from, r.known, r.allocation = sample, true, math.NaN()

		return
	case over < HistoryStep:
		return
	}

	point := Point{
		At: sample.At, Over: over,
		CPU:        rate(r.from.CPU, sample.CPU, over),
		TX:         rate(r.from.TX, sample.TX, over),
		RX:         rate(r.from.RX, sample.RX, over),
		Allocation: r.allocation,
		Throttled:  share(sample.Throttled, r.from.Throttled, sample.Periods, r.from.Periods),
	}

	if to := sample.Allocation; to.Unavailable != "" || to.At == 0 || to.At != r.from.Allocation.At {
		point.Allocation = rate(r.from.Allocation, to, over)
	}

	r.from, r.allocation = sample, point.Allocation

	if len(r.points) < HistoryPoints {
		r.points = append(r.points, point)

		return
	}

	r.points[r.next] = point
	r.next = (r.next + 1) % HistoryPoints
}

// rate returns a counter's increase per second. A counter with its own times was read less often than the sample.
func rate(from, to policy.Counter, over time.Duration) float64 {
	if to.At != 0 {
		over = to.At - from.At
	}

	if from.Unavailable != "" || to.Unavailable != "" || over <= 0 || to.Total < from.Total {
		return math.NaN()
	}

	return (to.Total - from.Total) / over.Seconds()
}

// share returns the share of CFS periods with throttling, 0 if there was no period.
func share(throttled, throttledFrom, periods, periodsFrom uint64) float64 {
	switch {
	case periods < periodsFrom || throttled < throttledFrom:
		return math.NaN()
	case periods == periodsFrom:
		return 0
	default:
		return float64(throttled-throttledFrom) / float64(periods-periodsFrom)
	}
}
