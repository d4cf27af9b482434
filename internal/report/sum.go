// SPDX-License-Identifier: MPL-2.0

package report

import (
	"math"
	"slices"
	"time"
)

// sum returns what all targets used together, at the end of each of their points. A target is a part of it from the length of a point before
// its first one to that after its last one, because the points of two targets end at different times.
func (n Node) sum() []Point {
	var ends []time.Time

	for _, points := range n.Targets {
		for _, p := range points {
			ends = append(ends, p.At)
		}
	}

	slices.SortFunc(ends, time.Time.Compare)

	ends = slices.CompactFunc(ends, time.Time.Equal)
	sums, next := make([]Point, 0, len(ends)), make([]int, len(n.Targets))

	for _, at := range ends {
		sum, begin := Unmeasured(), at

		for i, points := range n.Targets {
			for next[i] < len(points)-1 && points[next[i]].At.Before(at) {
				next[i]++
			}

			if p, ok := near(points, next[i], at); ok {
				sum = sum.plus(p.Usage)
				begin = earlier(begin, p.begin())
			}
		}

		sums = append(sums, Point{At: at, Over: at.Sub(begin), Usage: sum})
	}

	return sums
}

// near returns the point at an index, or the one before it, if it covers a time or is not further from it than its length.
func near(points []Point, index int, at time.Time) (Point, bool) {
	for _, i := range []int{index, index - 1} {
		if i < 0 || i >= len(points) {
			continue
		}

		if p := points[i]; p.begin().Add(-p.Over).Before(at) && !at.After(p.At.Add(p.Over)) {
			return p, true
		}
	}

	return Point{}, false
}

// plus adds up two usages, of which values may be unavailable.
func (u Usage) plus(other Usage) Usage {
	add := func(a, b float64) float64 {
		switch {
		case math.IsNaN(a):
			return b
		case math.IsNaN(b):
			return a
		default:
			return a + b
		}
	}

	return Usage{add(u.CPU, other.CPU), add(u.TX, other.TX), add(u.Allocation, other.Allocation), add(u.NodeTX, other.NodeTX)}
}
