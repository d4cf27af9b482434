// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/NimbleMarkets/ntcharts/linechart/timeserieslinechart"
	"github.com/charmbracelet/x/term"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/top"
	"github.com/spegel-guard/spegel-guard/internal/axis"
	"github.com/spegel-guard/spegel-guard/internal/printable"
	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

const (
	// plotWidth is that of an output that is no terminal, in columns.
	plotWidth = 80
	// plotLeast is the least width: the axis takes ten columns.
	plotLeast = 20
	// plotHeight of a chart with its axis, in lines.
	plotHeight = 10
)

// plotted are the signals that are drawn. The node has only TX.
var plotted = []struct {
	name   string
	signal config.Signal
}{
	{"CPU", config.SignalCPU},
	{"TX", config.SignalNetworkTX},
	{"allocation", config.SignalAllocation},
}

// plotPrinter draws a chart of each signal of each series.
type plotPrinter struct {
	w     io.Writer
	width int
}

// widthOf returns the width of a terminal, and plotWidth of anything else.
func widthOf(w io.Writer) int {
	if file, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(file.Fd()); err == nil && width > 0 {
			return width
		}
	}

	return plotWidth
}

// Print implements output.Printer.
func (p *plotPrinter) Print(items ...output.Item) error {
	var text strings.Builder

	for _, item := range items {
		history, ok := item.Value.(*guardv1alpha1.History)
		if !ok {
			return fmt.Errorf("failed to draw %T", item.Value)
		}

		drawn := false

		for _, series := range historySeries(history) {
			for _, signal := range plotted {
				parts, highest := partsOf(series.GetPoints(), signal.signal)
				if len(parts) == 0 {
					continue
				}

				drawn = true

				fmt.Fprintf(&text, "%s  %s  %s, at most %s\n", printable.Line(item.Node), printable.Line(targetName(series)), signal.name,
					known(signal.signal, &highest))
				fmt.Fprintf(&text, "%s\n\n", drawing(parts, highest, p.width, signal.signal))
			}
		}

		if !drawn {
			fmt.Fprintf(&text, "%s  has no history of this time\n\n", printable.Line(item.Node))
		}
	}

	_, err := io.WriteString(p.w, text.String())

	return err
}

// partsOf returns a signal's values, in a part of its own for each time without a gap, and the highest one. Points without a time of
// day are left out. So are those that go back in time, and values without a place on an axis: a node decides what it sends, and a line to
// a point far outside would take for ever.
func partsOf(points []*guardv1alpha1.Point, signal config.Signal) (parts [][]timeserieslinechart.TimePoint, highest float64) {
	var last time.Time

	for _, p := range points {
		v := client.Past(p, signal)
		if v == nil || p.GetAt() == nil {
			continue
		}

		at := p.GetAt().AsTime()

		if !client.Plausible(*v) || !at.After(last) && len(parts) > 0 {
			continue
		}

		if len(parts) == 0 || at.Add(-p.GetOver().AsDuration()).Sub(last) > axis.Gap {
			parts = append(parts, nil)
		}

		parts[len(parts)-1] = append(parts[len(parts)-1], timeserieslinechart.TimePoint{Time: at, Value: *v})
		highest, last = max(highest, *v), at
	}

	return parts, highest
}

// drawing returns the chart of a signal.
func drawing(parts [][]timeserieslinechart.TimePoint, highest float64, width int, signal config.Signal) string {
	last := parts[len(parts)-1]
	from, to := parts[0][0].Time, last[len(last)-1].Time

	// A chart needs a range of times and of values.
	if to.Sub(from) < time.Minute {
		from = to.Add(-time.Minute)
	}

	if highest == 0 {
		highest = 1
	}

	perMark, highest := axis.Lines(highest, signal.Resolution(), plotHeight-top.AxisLines)
	chart := timeserieslinechart.New(max(plotLeast, width), plotHeight,
		timeserieslinechart.WithTimeRange(from, to),
		timeserieslinechart.WithYRange(0, highest),
		timeserieslinechart.WithXYSteps(max(1, width/8), perMark),
		timeserieslinechart.WithXLabelFormatter(func(_ int, v float64) string { return time.Unix(int64(v), 0).Format("15:04") }),
		timeserieslinechart.WithYLabelFormatter(func(_ int, v float64) string { return signal.Format(v) }),
	)

	names := make([]string, len(parts))

	for i, part := range parts {
		names[i] = strconv.Itoa(i)

		for _, point := range part {
			chart.PushDataSet(names[i], point)
		}
	}

	chart.DrawBrailleDataSets(names)

	lines := strings.Split(chart.View(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}

	return strings.Join(lines, "\n")
}
