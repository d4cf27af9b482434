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
	// HistoryStep is what one point covers, at least: an interval longer than it makes longer points.
	HistoryStep = 10 * time.Second
	// HistoryPoints is how many points of a target there are, at most: an hour's.
	HistoryPoints = 360
)

// Point is what a target did up to At. A value that is not known is NaN.
type Point struct {
	// At is the end of the time it covers, Over how long that is, on CLOCK_BOOTTIME.
	At, Over time.Duration
	// CPU in cores; TX, RX and Allocation in bytes per second; Throttled is the share of enforcement
	// periods with throttling.
	CPU, TX, RX, Allocation, Throttled float64
}

// History holds the points of all targets. The zero History is empty; a nil one keeps nothing.
type History struct {
	mu      sync.Mutex
	targets map[string]*series
}

type series struct {
	container string
	from      policy.Sample
	known     bool
	// allocation is the newest known rate: a program is asked less often than samples are taken.
	allocation float64
	// points is a ring once it is full, of which next is the oldest.
	points []Point
	next   int
}

// Add takes a target's newest sample. Another container begins anew; what was before it stays.
func (s *History) Add(target, container string, sample policy.Sample) {
	if s == nil {
		return
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	if s.targets == nil {
		s.targets = map[string]*series{}
	}

	of, ok := s.targets[target]
	if !ok {
		of = &series{}
		s.targets[target] = of
	}

	if of.container != container {
		of.container, of.known = container, false
	}

	of.add(sample)
}

// Points are the target's points that end after a time, the oldest first.
func (s *History) Points(target string, after time.Duration) []Point {
	if s == nil {
		return nil
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	of, ok := s.targets[target]
	if !ok {
		return nil
	}

	all := slices.Concat(of.points[of.next:], of.points[:of.next])

	return slices.DeleteFunc(all, func(p Point) bool { return p.At <= after })
}

// Forget drops a target.
func (s *History) Forget(target string) {
	if s == nil {
		return
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	delete(s.targets, target)
}

func (s *series) add(sample policy.Sample) {
	over := sample.At - s.from.At

	switch {
	case !s.known:
		s.from, s.known, s.allocation = sample, true, math.NaN()

		return
	case over < HistoryStep:
		return
	}

	point := Point{
		At: sample.At, Over: over,
		CPU:        rate(s.from.CPU, sample.CPU, over),
		TX:         rate(s.from.TX, sample.TX, over),
		RX:         rate(s.from.RX, sample.RX, over),
		Allocation: s.allocation,
		Throttled:  share(sample.Throttled, s.from.Throttled, sample.Periods, s.from.Periods),
	}

	if news := sample.Allocation; news.Unavailable != "" || news.At == 0 || news.At != s.from.Allocation.At {
		point.Allocation = rate(s.from.Allocation, news, over)
	}

	s.from, s.allocation = sample, point.Allocation

	if len(s.points) < HistoryPoints {
		s.points = append(s.points, point)

		return
	}

	s.points[s.next] = point
	s.next = (s.next + 1) % HistoryPoints
}

// rate of a counter; one that is read less often than the others has times of its own.
func rate(from, to policy.Counter, over time.Duration) float64 {
	if to.At != 0 {
		over = to.At - from.At
	}

	if from.Unavailable != "" || to.Unavailable != "" || over <= 0 || to.Total < from.Total {
		return math.NaN()
	}

	return (to.Total - from.Total) / over.Seconds()
}

// share of the enforcement periods; without any nothing was held back.
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
