// SPDX-License-Identifier: MPL-2.0

package main

import (
	"maps"
	"math"
	"slices"
	"time"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/top"
	"github.com/spegel-guard/spegel-guard/internal/mean"
	"github.com/spegel-guard/spegel-guard/internal/report"
	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

// historyStep is the least time between two points of a target.
const historyStep = 10 * time.Second

// targetPoints adds up what a node's targets used in the same step. A restarted pod is another target. A step is a minute if there is a
// point of a minute. Points without a time of day are left out.
func targetPoints(history *guardv1alpha1.History) []report.Point {
	points := map[time.Time]*report.Point{}

	for _, series := range history.GetSeries() {
		for at, average := range averages(series.GetPoints(), stepOf(history.GetSeries()...)) {
			p, ok := points[at]
			if !ok {
				p = &report.Point{At: average.At, Over: average.Over, Usage: report.Unmeasured()}
				points[at] = p
			}

			cover(p, average)
			addKnown(&p.CPU, average.CPU)
			addKnown(&p.TX, average.TX)
			addKnown(&p.Allocation, average.Allocation)
		}
	}

	all := make([]report.Point, 0, len(points))
	for _, at := range slices.SortedFunc(maps.Keys(points), time.Time.Compare) {
		all = append(all, *points[at])
	}

	return all
}

// linkPoints returns the traffic of a node, whose steps do not end with those of its targets.
func linkPoints(history *guardv1alpha1.History) []report.Point {
	points := averages(history.GetLinks().GetPoints(), stepOf(history.GetLinks()))
	all := make([]report.Point, 0, len(points))

	for _, at := range slices.SortedFunc(maps.Keys(points), time.Time.Compare) {
		p := points[at]
		p.Usage, p.NodeTX = report.Unmeasured(), p.TX
		all = append(all, p)
	}

	return all
}

// cover lengthens the time of a point by that of another one: a report takes only points that lie in a period as a whole, and the
// points of two targets do not begin and end together.
func cover(p *report.Point, other report.Point) {
	begin := p.At.Add(-p.Over)
	if from := other.At.Add(-other.Over); from.Before(begin) {
		begin = from
	}

	if other.At.After(p.At) {
		p.At = other.At
	}

	p.Over = p.At.Sub(begin)
}

// joined returns the fine points, and those of the coarse ones that end before.
func joined(coarse, fine []report.Point) []report.Point {
	if len(fine) == 0 {
		return coarse
	}

	begin := fine[0].At.Add(-fine[0].Over)

	return append(slices.DeleteFunc(coarse, func(p report.Point) bool { return p.At.After(begin) }), fine...)
}

func stepOf(all ...*guardv1alpha1.Series) time.Duration {
	for _, series := range all {
		for _, p := range series.GetPoints() {
			if p.GetOver().AsDuration() >= time.Minute {
				return time.Minute
			}
		}
	}

	return historyStep
}

// averages returns the average of one series in each step, by the begin of the step.
func averages(points []*guardv1alpha1.Point, step time.Duration) map[time.Time]report.Point {
	inStep := map[time.Time][]*guardv1alpha1.Point{}

	for _, p := range points {
		if p.GetAt() != nil {
			begin := p.GetAt().AsTime().Truncate(step)
			inStep[begin] = append(inStep[begin], p)
		}
	}

	all := map[time.Time]report.Point{}

	for begin, points := range inStep {
		average := pointOf(points[0])

		for _, p := range points[1:] {
			cover(&average, pointOf(p))
		}

		average.CPU = averageOf(points, config.SignalCPU)
		average.TX = averageOf(points, config.SignalNetworkTX)
		average.Allocation = averageOf(points, config.SignalAllocation)
		all[begin] = average
	}

	return all
}

func pointOf(p *guardv1alpha1.Point) report.Point {
	return report.Point{At: p.GetAt().AsTime(), Over: p.GetOver().AsDuration()}
}

// averageOf returns the average of a signal; NaN if there is none.
func averageOf(points []*guardv1alpha1.Point, signal config.Signal) float64 {
	var average mean.Mean

	for _, p := range points {
		// A node decides what it sends.
		if v := client.Past(p, signal); v != nil {
			average.Add(top.Drawable(*v), p.GetOver().AsDuration())
		}
	}

	return average.Value()
}

// addKnown adds a value to a sum, which is NaN until the first.
func addKnown(sum *float64, value float64) {
	switch {
	case math.IsNaN(value):
	case math.IsNaN(*sum):
		*sum = value
	default:
		*sum += value
	}
}
