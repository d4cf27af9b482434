// SPDX-License-Identifier: MPL-2.0

package report

import (
	"math"
	"slices"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/mean"
)

// figure returns one value of a usage.
type figure func(Usage) float64

func cpu(u Usage) float64        { return u.CPU }
func tx(u Usage) float64         { return u.TX }
func allocation(u Usage) float64 { return u.Allocation }
func nodeTX(u Usage) float64     { return u.NodeTX }

// average returns what all targets of a node together and its links used over a period.
func (n Node) average(period Period) Usage {
	return Usage{
		CPU: average(n.Targets, period, cpu), TX: average(n.Targets, period, tx), Allocation: average(n.Targets, period, allocation),
		NodeTX: average([][]Point{n.Links}, period, nodeTX),
	}
}

// average adds up the averages of some series over a period. That of one is over its points that lie in the period as a whole: others have
// usage from before or after it. It counts for the part of the period in which the series was measured, because a pod may have taken the
// place of another one.
func average(series [][]Point, period Period, of figure) float64 {
	var (
		sum float64
		all []Period
	)

	for _, points := range series {
		var (
			average  mean.Mean
			measured []Period
		)

		for _, p := range points {
			value, begin := of(p.Usage), p.begin()
			if math.IsNaN(value) {
				continue
			}

			if !begin.Before(period.From) && !p.At.After(period.To) {
				average.Add(value, p.Over)
			}

			if part := (Period{later(begin, period.From), earlier(p.At, period.To)}); part.To.After(part.From) {
				measured = append(measured, part)
			}
		}

		if average.Seconds() > 0 {
			sum += average.Value() * covered(measured).Seconds()
			all = append(all, measured...)
		}
	}

	return sum / covered(all).Seconds()
}

// covered returns the length of all periods, what some have in common once.
func covered(periods []Period) time.Duration {
	var (
		length time.Duration
		end    time.Time
	)

	for _, p := range slices.SortedFunc(slices.Values(periods), func(a, b Period) int { return a.From.Compare(b.From) }) {
		if p.To.After(end) {
			length += p.To.Sub(later(p.From, end))
			end = p.To
		}
	}

	return length
}

// sum returns what all targets used together, at the end of each of their points.
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
			for next[i] < len(points) && points[next[i]].At.Before(at) {
				next[i]++
			}

			if next[i] < len(points) && points[next[i]].begin().Before(at) {
				sum = sum.plus(points[next[i]].Usage)
				begin = earlier(begin, points[next[i]].begin())
			}
		}

		sums = append(sums, Point{At: at, Over: at.Sub(begin), Usage: sum})
	}

	return sums
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
