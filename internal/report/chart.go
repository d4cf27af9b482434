// SPDX-License-Identifier: MPL-2.0

package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/axis"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// Size of a chart in pixels.
const (
	chartWidth  = 900
	chartHeight = 180
	// labelWidth is what a time of day takes.
	labelWidth = 50
	// labelHeight is what a line of labels takes.
	labelHeight = 20
	// headroom keeps the highest value off the border.
	headroom = 1.05
)

// colours of the lines, in turns: those of Okabe and Ito, which people with any colour vision tell apart.
var colours = []string{"#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"}

// chart is one metric of all nodes over the time of a report, as SVG.
type chart struct {
	Title, Highest string
	// Width and Height of the area of the values; the labels of the times are below it.
	Width, Height int
	// Shade is where ceilings were in force, from and for a number of pixels.
	ShadeX, ShadeWidth int
	Lines              []line
	// Levels have a horizontal line each, Times a label below.
	Levels, Times []label
}

// ViewHeight is the height with the labels of the times.
func (c chart) ViewHeight() int { return c.Height + labelHeight }

// HasCeilings reports whether the chart has a line of a ceiling.
func (c chart) HasCeilings() bool {
	return slices.ContainsFunc(c.Lines, func(l line) bool { return len(l.Ceilings) > 0 })
}

// line is a node's; a gap in its points begins another part.
type line struct {
	Name, Colour string
	Parts        []string
	// Ceilings of the node, where the chart shows CPU.
	Ceilings []segment
}

// segment is a horizontal line.
type segment struct{ X1, X2, Y int }

// label at a number of pixels. Anchor is that of SVG: start, middle or end.
type label struct {
	At           int
	Text, Anchor string
}

// charts returns those of CPU, TX and node TX.
func (i Incident) charts() []chart {
	if !i.To.After(i.From) {
		return nil
	}

	var sums, links [][]Point

	for _, node := range i.nodes {
		sums, links = append(sums, node.sum()), append(links, node.Links)
	}

	none := func(Node) []ceiling { return nil }

	return []chart{
		i.chart("CPU", policy.Cores, sums, cpu, i.ceilings),
		i.chart("TX", policy.BytesPerSecond, sums, tx, none),
		i.chart("node TX", policy.BytesPerSecond, links, nodeTX, none),
	}
}

// chart draws one figure of the points of each node.
func (i Incident) chart(title string, unit policy.Unit, points [][]Point, figure figure, ceilings func(Node) []ceiling) chart {
	highest, top := 0.0, 0.0

	for n, node := range i.nodes {
		for _, p := range points[n] {
			if v := figure(p.Usage); !math.IsNaN(v) {
				highest = max(highest, v)
			}
		}

		for _, ceiling := range ceilings(node) {
			top = max(top, ceiling.cores)
		}
	}

	top = max(top, highest)

	// y returns where a value is, in pixels.
	y := func(value float64) int {
		if top == 0 {
			return chartHeight
		}

		return chartHeight - int(math.Round(value/(headroom*top)*chartHeight))
	}

	c := chart{Title: title, Highest: unit.Format(highest), Width: chartWidth, Height: chartHeight, Times: i.times()}

	for _, mark := range axis.Marks(top, unit.Resolution()) {
		c.Levels = append(c.Levels, label{At: y(mark), Text: unit.Format(mark)})
	}

	if !i.Under.IsZero() {
		c.ShadeX = i.x(i.Under.From)
		c.ShadeWidth = i.x(i.Under.To) - c.ShadeX
	}

	for n, node := range i.nodes {
		l := line{Name: node.Name, Colour: colours[n%len(colours)], Parts: i.parts(points[n], figure, y)}

		for _, ceiling := range ceilings(node) {
			l.Ceilings = append(l.Ceilings, segment{i.x(ceiling.From), i.x(ceiling.To), y(ceiling.cores)})
		}

		c.Lines = append(c.Lines, l)
	}

	return c
}

// parts returns the line of some points; a gap in them begins another part.
func (i Incident) parts(points []Point, of figure, y func(float64) int) []string {
	var (
		parts, part []string
		last        time.Time
	)

	end := func() {
		if len(part) > 0 {
			parts = append(parts, strings.Join(part, " "))
		}

		part = nil
	}

	for _, p := range points {
		value := of(p.Usage)
		if math.IsNaN(value) {
			end()

			continue
		}

		if p.begin().Sub(last) > axis.Gap {
			end()
		}

		last = p.At

		if at := fmt.Sprintf("%d,%d", i.x(p.At), y(value)); len(part) == 0 || part[len(part)-1] != at {
			part = append(part, at)
		}
	}

	end()

	return parts
}

// times returns labels for the begin and the end of the report, and for those of the time under ceilings where there is room.
func (i Incident) times() []label {
	labels := []label{{0, i.Clock(i.From), "start"}, {chartWidth, i.Clock(i.To), "end"}}
	room := 3 * labelWidth / 2

	for _, at := range []time.Time{i.Under.From, i.Under.To} {
		if x := i.x(at); !at.IsZero() && x >= room && x <= chartWidth-3*labelWidth/2 {
			labels = append(labels, label{x, i.Clock(at), "middle"})
			room = x + labelWidth
		}
	}

	return labels
}

// x returns where a time is, in pixels.
func (i Incident) x(at time.Time) int {
	return int(math.Round(float64(at.Sub(i.From)) / float64(i.To.Sub(i.From)) * chartWidth))
}
