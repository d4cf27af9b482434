// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"math"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/compare"
	"github.com/spegel-guard/spegel-guard/internal/mean"
	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

// suggested are the signals of the default rules.
var suggested = []struct {
	signal config.Signal
	metric compare.Metric
	// write writes a threshold, rounded up.
	write func(float64) string
}{
	{
		config.SignalCPU, compare.CPU,
		func(v float64) string { return fmt.Sprintf("%dm", roundedUp(v*1000)) },
	},
	{
		config.SignalNetworkTX, compare.TX,
		func(v float64) string { return fmt.Sprintf("%dk/s", roundedUp(v/1e3)) },
	},
	{
		config.SignalAllocation, compare.Alloc,
		func(v float64) string { return fmt.Sprintf("%dM/min", roundedUp(v*60/1e6)) },
	},
}

// roundedUp rounds up to a multiple of ten, except for an error of the arithmetic.
func roundedUp(v float64) int64 { return int64(math.Ceil(v/10-1e-6)) * 10 }

// usualNode is the usual level of a node's metrics. With several targets it is that of the one with the highest, because a rule is
// about one target.
type usualNode struct {
	name string
	// covered is how much history there is.
	covered time.Duration
	levels  map[compare.Metric]compare.Level
	// leftOut is why the node does not count; empty if it does.
	leftOut string
}

func usualOf(name string, history *guardv1alpha1.History) usualNode {
	usual := usualNode{name: name, levels: map[compare.Metric]compare.Level{}}

	for _, series := range history.GetSeries() {
		usual.covered = max(usual.covered, coveredBy(series))
	}

	for _, series := range history.GetSeries() {
		// What a pod uses in its first minutes is not usual.
		if coveredBy(series) < min(suggestLeast, usual.covered) {
			continue
		}

		for _, m := range suggested {
			level := compare.LevelOf(minutes(series.GetPoints(), m.signal))

			if before, ok := usual.levels[m.metric]; level.Values > 0 && (!ok || level.High() > before.High()) {
				usual.levels[m.metric] = level
			}
		}
	}

	return usual
}

// tooHigh returns the first level for which no threshold is high enough; empty if there is none.
func (n usualNode) tooHigh() string {
	for _, m := range suggested {
		if high := n.levels[m.metric].High(); suggestMargin*high > config.MaxThreshold(m.signal) {
			return fmt.Sprintf("%s of %s", m.signal, m.metric.Format(high))
		}
	}

	return ""
}

// coveredBy returns how much time the points of a series cover.
func coveredBy(series *guardv1alpha1.Series) time.Duration {
	covered := time.Duration(0)

	for _, point := range series.GetPoints() {
		covered += point.GetOver().AsDuration()
	}

	return covered
}

// aboutMinute is the least time of an average over a minute of a guard without a gap (service/internal/record: late).
const aboutMinute = time.Minute - 500*time.Millisecond

// minutes averages points over about a minute each or more, the window of the default rules. What is shorter is left out, at the end and
// before a gap.
func minutes(points []*guardv1alpha1.Point, signal config.Signal) []float64 {
	var (
		averages []float64
		average  mean.Mean
		last     time.Time
	)

	for _, point := range points {
		at := point.GetAt().AsTime()
		if at.Add(-point.GetOver().AsDuration()).Sub(last) > time.Second {
			average = mean.Mean{}
		}

		last = at

		v := client.Past(point, signal)
		if v == nil {
			continue
		}

		average.Add(*v, point.GetOver().AsDuration())

		if average.Seconds() >= aboutMinute.Seconds() {
			averages = append(averages, average.Value())
			average = mean.Mean{}
		}
	}

	return averages
}
