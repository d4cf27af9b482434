// SPDX-License-Identifier: MPL-2.0

package top

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/NimbleMarkets/ntcharts/canvas"
	"github.com/NimbleMarkets/ntcharts/canvas/graph"
	"github.com/NimbleMarkets/ntcharts/canvas/runes"
	"github.com/NimbleMarkets/ntcharts/linechart"
	"github.com/charmbracelet/lipgloss"

	"github.com/spegel-guard/spegel-guard/internal/axis"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// Lines of the levels, in the chart and in its caption.
const (
	thresholdRune = '┄'
	ceilingRune   = '━'
)

const (
	// AxisLines are the lines of the time axis.
	AxisLines = 2
	// shortSpan is the longest period with seconds on its axis.
	shortSpan = 5 * time.Minute
)

// chart returns a node's history with the threshold and the ceiling: as many lines as the height. Without any value it
// says why.
func (m Model) chart(n *node, width, height int) []string {
	from, to := m.span(n)
	threshold, ceiling := n.threshold(m.signal), 0.0

	if signals[m.signal].signal == policy.SignalCPU {
		ceiling = n.ceiling()
	}

	top, found := max(threshold, ceiling), false

	for _, p := range n.points() {
		if v := p.values[m.signal]; !math.IsNaN(v) && !p.at.Before(from) {
			top, found = max(top, v), true
		}
	}

	if !found {
		return m.noChart(n, height)
	}

	if top == 0 {
		top = 1
	}

	label := func(v float64) string { return formatted(m.signal, v) }
	// The labels of the levels have room on the axis, and no mark has the label of one.
	taken := []string{label(threshold), label(ceiling)}
	room := max(len(taken[0]), len(taken[1]))
	perMark, top := axis.Lines(top, signals[m.signal].signal.Resolution(), max(1, height-AxisLines))

	timeLabel := "15:04"
	if to.Sub(from) < shortSpan {
		timeLabel = "15:04:05"
	}

	chart := linechart.New(width, height, seconds(from), seconds(to), 0, top,
		linechart.WithXYSteps(max(1, width/20), perMark),
		linechart.WithXLabelFormatter(func(_ int, v float64) string {
			return time.Unix(int64(v), 0).In(m.now.Location()).Format(timeLabel)
		}),
		linechart.WithYLabelFormatter(func(line int, v float64) string {
			text := label(v)
			if line > 0 && slices.Contains(taken, text) {
				text = ""
			}

			return fmt.Sprintf("%*s", room, text)
		}),
	)

	if chart.GraphWidth() < 1 || chart.GraphHeight() < 1 {
		return m.noChart(n, height)
	}

	chart.DrawXYAxisAndLabel()

	grid := graph.NewBrailleGrid(chart.GraphWidth(), chart.GraphHeight(), seconds(from), seconds(to), 0, top)
	m.curve(grid, n.points(), from, to)
	graph.DrawBraillePatterns(&chart.Canvas, canvas.Point{X: chart.Origin().X + 1}, grid.BraillePatterns(), usageLine)

	thresholdAt, ceilingAt := lineOf(grid, threshold), lineOf(grid, ceiling)

	// free reports whether a line has no label of a mark.
	free := func(y int) bool {
		line := chart.Origin().Y - y

		return line%perMark != 0 || slices.Contains(taken, label(top/float64(chart.GraphHeight())*float64(line)))
	}

	switch {
	case threshold == 0 || ceiling == 0:
	case threshold >= ceiling:
		thresholdAt, ceilingAt = apart(thresholdAt, ceilingAt, chart.GraphHeight()-1, free)
	default:
		ceilingAt, thresholdAt = apart(ceilingAt, thresholdAt, chart.GraphHeight()-1, free)
	}

	level(&chart, thresholdAt, threshold, label, thresholdRune, warning)
	level(&chart, ceilingAt, ceiling, label, ceilingRune, bad)

	return strings.Split(chart.View(), "\n")
}

// span returns the period that is shown; a shorter history fills the width.
func (m Model) span(n *node) (from, to time.Time) {
	from, to = m.now.Add(-keep), m.now

	if points := n.points(); len(points) > 0 && points[0].at.After(from) {
		from = points[0].at
	}

	if to.Sub(from) < time.Minute {
		from = to.Add(-time.Minute)
	}

	return from, to
}

// noChart says why there is no curve.
func (m Model) noChart(n *node, height int) []string {
	lines := make([]string, height)

	why := n.missing(m.signal)
	if why == "" {
		why = fmt.Sprintf("no value in the last %.0f minutes", keep.Minutes())
	}

	lines[height/2] = faint.Render(m.cut("  " + why))

	return lines
}

// gap is the time without values from which on they are not joined, and the newest is called old.
func (m Model) gap() time.Duration { return max(axis.Gap, 3*m.interval) }

// curve draws the values from one time to another. Values on the two sides of a gap are not joined.
func (m Model) curve(grid *graph.BrailleGrid, points []point, from, to time.Time) {
	var (
		last  canvas.Point
		at    time.Time
		drawn bool
	)

	gap := m.gap()

	for _, p := range points {
		value := p.values[m.signal]

		// A line to a point far outside would take long.
		if math.IsNaN(value) || p.at.Before(from) || p.at.After(to) {
			drawn = false

			continue
		}

		next := grid.GridPoint(canvas.Float64Point{X: seconds(p.at), Y: value})
		line := []canvas.Point{next}

		if drawn && p.at.Sub(at) <= gap {
			line = graph.GetLinePoints(last, next)
		}

		for _, dot := range line {
			grid.Set(dot)
		}

		last, at, drawn = next, p.at, true
	}
}

// dotsPerLine of a terminal in braille.
const dotsPerLine = 4

// lineOf returns the line of a value, from 0 at the top.
func lineOf(grid *graph.BrailleGrid, value float64) int {
	return grid.GridPoint(canvas.Float64Point{Y: value}).Y / dotsPerLine
}

// apart returns the lines of two levels, the greater one first, so that neither hides the other, nor a mark of the axis if there is
// a free line. Last is the lowest line of the chart.
func apart(greater, lower, last int, free func(y int) bool) (int, int) {
	switch {
	case greater != lower:
	case greater == 0, lower < last && free(lower+1) && !free(greater-1):
		lower++
	default:
		greater--
	}

	return greater, lower
}

// level draws a horizontal line where the curve is not, and writes its value at the axis, where nothing hides it.
func level(chart *linechart.Model, y int, value float64, label func(float64) string, line rune, style lipgloss.Style) {
	if value <= 0 {
		return
	}

	origin := chart.Origin()

	chart.Canvas.SetStringWithStyle(canvas.Point{Y: y}, fmt.Sprintf("%*s", origin.X, label(value)), style)
	chart.Canvas.SetRuneWithStyle(canvas.Point{X: origin.X, Y: y}, '┤', style)

	for x := origin.X + 1; x <= origin.X+chart.GraphWidth(); x++ {
		if at := (canvas.Point{X: x, Y: y}); !runes.IsBraillePattern(chart.Canvas.Cell(at).Rune) {
			chart.Canvas.SetRuneWithStyle(at, line, style)
		}
	}
}

func seconds(t time.Time) float64 { return float64(t.UnixNano()) / float64(time.Second) }
