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
// place of another one. It is NaN if a series that was measured in more than mostUnknown of the period has no whole point with that value.
func average(series [][]Point, period Period, of figure) float64 {
	var (
		sum float64
		all []Period
	)

	for _, points := range series {
		var average mean.Mean

		for _, p := range points {
			if !p.begin().Before(period.From) && !p.At.After(period.To) {
				average.Add(of(p.Usage), p.Over)
			}
		}

		measured := measuredIn(points, period)

		switch {
		case average.Seconds() > 0:
			sum += average.Value() * covered(measured).Seconds()
			all = append(all, measured...)
		case covered(measured).Seconds() > mostUnknown*period.To.Sub(period.From).Seconds():
			return math.NaN()
		}
	}

	return sum / covered(all).Seconds()
}

// mostUnknown is the part of a period that a series of unknown usage may have.
const mostUnknown = 0.1

// measuredIn returns the parts of a period that the points of a series cover. The points of two series end at different times, so a series
// that begins or ends within the length of a point from the begin or the end of the period was measured from or until there.
func measuredIn(points []Point, period Period) []Period {
	var (
		parts []Period
		over  time.Duration
	)

	for _, p := range points {
		part := Period{later(p.begin(), period.From), earlier(p.At, period.To)}
		if !part.To.After(part.From) {
			continue
		}

		switch last := len(parts) - 1; {
		case last < 0 && part.From.Sub(period.From) <= p.Over:
			part.From = period.From
		case last >= 0 && part.From.Sub(parts[last].To) <= p.Over:
			part.From = parts[last].To
		}

		parts, over = append(parts, part), p.Over
	}

	if last := len(parts) - 1; last >= 0 && period.To.Sub(parts[last].To) <= over {
		parts[last].To = period.To
	}

	return parts
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
