// SPDX-License-Identifier: MPL-2.0

package report

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/compare"
)

// Size of a chart in pixels.
const (
	chartWidth  = 900
	chartHeight = 180
	// gap is the time without points from which on no line is drawn.
	gap = 30 * time.Second
	// headroom keeps the highest value off the border.
	headroom = 1.05
)

// colours of the lines, in turns: those of Okabe and Ito, which people with any colour vision tell apart.
var colours = []string{"#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"}

// chart is one metric of all nodes over the time of a report, as SVG.
type chart struct {
	Title, Highest, From, To string
	Width, Height            int
	// Shade is where ceilings were in force, from and for a number of pixels.
	ShadeX, ShadeWidth int
	Lines              []line
}

// line is a node's; a gap in its points begins another part.
type line struct {
	Name, Colour string
	Parts        []string
}

// charts returns those of CPU, TX and node TX.
func (i Incident) charts() []chart {
	if !i.To.After(i.From) {
		return nil
	}

	return []chart{
		i.chart("CPU", compare.CPU, func(u Usage) float64 { return u.CPU }),
		i.chart("TX", compare.TX, func(u Usage) float64 { return u.TX }),
		i.chart("node TX", compare.NodeTX, func(u Usage) float64 { return u.NodeTX }),
	}
}

func (i Incident) chart(title string, metric compare.Metric, of func(Usage) float64) chart {
	highest := 0.0

	for _, node := range i.nodes {
		for _, p := range node.Points {
			if v := of(p.Usage); !math.IsNaN(v) {
				highest = max(highest, v)
			}
		}
	}

	c := chart{
		Title: title, Highest: metric.Format(highest), From: i.Clock(i.From), To: i.Clock(i.To), Width: chartWidth, Height: chartHeight,
	}

	if !i.Under.IsZero() {
		c.ShadeX = i.x(i.Under.From)
		c.ShadeWidth = i.x(i.Under.To) - c.ShadeX
	}

	for n, node := range i.nodes {
		l := line{Name: node.Name, Colour: colours[n%len(colours)]}

		var (
			part []string
			last time.Time
		)

		end := func() {
			if len(part) > 0 {
				l.Parts = append(l.Parts, strings.Join(part, " "))
			}

			part = nil
		}

		for _, p := range node.Points {
			value := of(p.Usage)
			if math.IsNaN(value) {
				end()

				continue
			}

			if p.At.Add(-p.Over).Sub(last) > gap {
				end()
			}

			last = p.At

			y := chartHeight
			if highest > 0 {
				y = chartHeight - int(math.Round(value/(headroom*highest)*chartHeight))
			}

			part = append(part, fmt.Sprintf("%d,%d", i.x(p.At), y))
		}

		end()

		c.Lines = append(c.Lines, l)
	}

	return c
}

// x returns where a time is, in pixels.
func (i Incident) x(at time.Time) int {
	return int(math.Round(float64(at.Sub(i.From)) / float64(i.To.Sub(i.From)) * chartWidth))
}
