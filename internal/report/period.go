// SPDX-License-Identifier: MPL-2.0

package report

import (
	"math"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/compare"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// Period is a time; the zero Period is none.
type Period struct{ From, To time.Time }

// IsZero reports whether it is none.
func (p Period) IsZero() bool { return p.From.IsZero() }

// Point is what all targets of a node used on average in the time Over before At. A value that is unavailable is NaN.
type Point struct {
	At   time.Time
	Over time.Duration
	Usage
}

// Usage is CPU in cores, and TX and Allocation in bytes per second; NaN where nothing was measured.
type Usage struct {
	CPU, TX, Allocation float64
}

func (u Usage) figures() map[compare.Metric]float64 {
	figures := map[compare.Metric]float64{}

	for metric, value := range map[compare.Metric]float64{compare.CPU: u.CPU, compare.TX: u.TX, compare.Alloc: u.Allocation} {
		if !math.IsNaN(value) {
			figures[metric] = value
		}
	}

	return figures
}

// average returns the average of the points that lie in a period as a whole.
func average(points []Point, period Period) Usage {
	var cpu, tx, allocation mean

	for _, p := range points {
		if period.IsZero() || p.At.Add(-p.Over).Before(period.From) || p.At.After(period.To) {
			continue
		}

		cpu.add(p.CPU, p.Over)
		tx.add(p.TX, p.Over)
		allocation.add(p.Allocation, p.Over)
	}

	return Usage{cpu.value(), tx.value(), allocation.value()}
}

type mean struct{ sum, over float64 }

func (m *mean) add(value float64, over time.Duration) {
	if !math.IsNaN(value) {
		m.sum += value * over.Seconds()
		m.over += over.Seconds()
	}
}

func (m *mean) value() float64 {
	if m.over == 0 {
		return math.NaN()
	}

	return m.sum / m.over
}

// periods finds the times before, under and after the ceilings of all nodes. A probe is a part of the time under them.
func (i *Incident) periods() {
	var begin, end time.Time

	for _, node := range i.nodes {
		inForce := map[string]bool{}

		for _, action := range node.Actions {
			if action.At.Before(i.From) {
				inForce[action.Target] = applies(action.Kind) || inForce[action.Target] && action.Kind != resources.ActionRelease

				continue
			}

			switch {
			case applies(action.Kind):
				inForce[action.Target] = true

				if begin.IsZero() || action.At.Before(begin) {
					begin = action.At
				}
			case action.Kind == resources.ActionRelease:
				inForce[action.Target] = false

				if action.At.After(end) {
					end = action.At
				}
			}
		}

		for _, is := range inForce {
			i.InForce = i.InForce || is
		}
	}

	if begin.IsZero() {
		return
	}

	if i.InForce || end.Before(begin) {
		end = i.To
	}

	i.Before = longEnough(later(i.From, begin.Add(-beforeLength)), begin)
	i.Under = longEnough(begin, end)
	i.After = longEnough(end, i.To)
}

// applies reports whether a ceiling is in force after an action of a kind.
func applies(kind string) bool {
	return kind == resources.ActionApply || kind == resources.ActionAdjust || kind == resources.ActionAdopt
}

func longEnough(from, to time.Time) Period {
	if to.Sub(from) < leastLength {
		return Period{}
	}

	return Period{from, to}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}

	return b
}
