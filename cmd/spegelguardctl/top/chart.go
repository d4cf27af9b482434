// SPDX-License-Identifier: MPL-2.0

package top

import (
	"time"

	"github.com/NimbleMarkets/ntcharts/linechart/timeserieslinechart"

	"github.com/spegel-guard/spegel-guard/pkg/config"
)

// Data sets of a chart; the last one drawn is on top.
const (
	thresholdSet = "threshold"
	ceilingSet   = "ceiling"
	usageSet     = "usage"
)

// chart draws a node's history with the threshold and the ceiling.
func (m Model) chart(n *node, width, height int) string {
	to := m.now
	from := to.Add(-keep)

	// A shorter history fills the width.
	if len(n.points) > 0 && n.points[0].at.After(from) {
		from = n.points[0].at
	}

	if to.Sub(from) < time.Minute {
		from = to.Add(-time.Minute)
	}

	threshold := n.threshold(m.signal)
	ceiling := 0.0

	if signals[m.signal].signal == config.SignalCPU {
		ceiling = n.ceiling()
	}

	top := max(threshold, ceiling)

	for _, p := range n.points {
		top = max(top, p.values[m.signal])
	}

	if top == 0 {
		top = 1
	}

	chart := timeserieslinechart.New(width, height,
		timeserieslinechart.WithTimeRange(from, to),
		timeserieslinechart.WithYRange(0, top*1.1),
		timeserieslinechart.WithXYSteps(max(1, width/20), max(1, height/4)),
		timeserieslinechart.WithXLabelFormatter(func(_ int, v float64) string { return time.Unix(int64(v), 0).Format("15:04") }),
		timeserieslinechart.WithYLabelFormatter(func(_ int, v float64) string { return formatted(m.signal, v) }),
		timeserieslinechart.WithDataSetStyle(usageSet, usageLine),
		timeserieslinechart.WithDataSetStyle(thresholdSet, warning),
		timeserieslinechart.WithDataSetStyle(ceilingSet, bad),
	)

	for _, p := range n.points {
		if p.known[m.signal] && !p.at.Before(from) {
			chart.PushDataSet(usageSet, timeserieslinechart.TimePoint{Time: p.at, Value: p.values[m.signal]})
		}
	}

	level(&chart, thresholdSet, threshold, from, to)
	level(&chart, ceilingSet, ceiling, from, to)

	chart.DrawBrailleDataSets([]string{thresholdSet, ceilingSet, usageSet})

	return chart.View()
}

// level draws a horizontal line.
func level(chart *timeserieslinechart.Model, name string, value float64, from, to time.Time) {
	if value <= 0 {
		return
	}

	chart.PushDataSet(name, timeserieslinechart.TimePoint{Time: from, Value: value})
	chart.PushDataSet(name, timeserieslinechart.TimePoint{Time: to, Value: value})
}
