// SPDX-License-Identifier: MPL-2.0

package report

import (
	"math"
	"slices"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/compare"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// Period is a time; the zero Period is none.
type Period struct{ From, To time.Time }

// IsZero reports whether it is none.
func (p Period) IsZero() bool { return p.From.IsZero() }

// Point is what a target or the links of a node used on average in the time Over before At. A value that is unavailable is NaN.
type Point struct {
	At   time.Time
	Over time.Duration
	Usage
}

func (p Point) begin() time.Time { return p.At.Add(-p.Over) }

// Usage is CPU of the targets in cores, and TX and Allocation of theirs and NodeTX of the node's links in bytes per second; NaN where
// nothing was measured.
type Usage struct {
	CPU, TX, Allocation, NodeTX float64
}

// Unmeasured is the usage of which nothing is known.
func Unmeasured() Usage {
	return Usage{CPU: math.NaN(), TX: math.NaN(), Allocation: math.NaN(), NodeTX: math.NaN()}
}

// figures are those that tell the culprit.
func (u Usage) figures() map[compare.Metric]float64 {
	figures := map[compare.Metric]float64{}

	for metric, value := range map[compare.Metric]float64{compare.CPU: u.CPU, compare.TX: u.TX, compare.Alloc: u.Allocation} {
		if !math.IsNaN(value) {
			figures[metric] = value
		}
	}

	return figures
}

// periods finds the times before, under and after the last ceilings of all nodes. A probe between two ceilings is a part of the time
// under them.
func (i *Incident) periods() {
	var all []Period

	for _, node := range i.nodes {
		all = append(all, i.underCeilings(node)...)
	}

	slices.SortFunc(all, func(a, b Period) int { return a.From.Compare(b.From) })

	var last Period

	for _, p := range all {
		switch {
		case last.IsZero() || p.From.Sub(last.To) > apart:
			i.Earlier, last = last.To, p
		case p.To.After(last.To):
			last.To = p.To
		}
	}

	if last.IsZero() {
		return
	}

	i.Before = longEnough(later(later(i.From, i.Earlier), last.From.Add(-beforeLength)), last.From)
	i.Under = longEnough(last.From, last.To)
	i.After = longEnough(last.To, i.To)
}

// underCeilings returns the times in which a node's ceilings were in force, those that began before the points left out, and sets InForce.
// A ceiling that was lifted, by a probe or by an external change, has ended if it is not applied again within the time that separates
// incidents: a probe that measures no breach is the last action of a ceiling.
func (i *Incident) underCeilings(node Node) []Period {
	var (
		all           []Period
		since, lifted = map[string]time.Time{}, map[string]time.Time{}
	)

	end := func(target string, at time.Time) {
		if begin := since[target]; !begin.Before(i.From) {
			all = append(all, Period{begin, at})
		}

		delete(since, target)
		delete(lifted, target)
	}

	for _, action := range node.Actions {
		_, begun := since[action.Target]
		liftedAt, isLifted := lifted[action.Target]

		switch {
		case applies(action.Kind):
			if isLifted && action.At.Sub(liftedAt) > apart {
				end(action.Target, liftedAt)

				begun = false
			}

			delete(lifted, action.Target)

			if !begun {
				since[action.Target] = action.At
			}
		case !begun:
		case action.Kind == resources.ActionRelease && isLifted:
			end(action.Target, liftedAt)
		case action.Kind == resources.ActionRelease:
			end(action.Target, action.At)
		case lifts(action.Kind) && !isLifted:
			lifted[action.Target] = action.At
		}
	}

	for target, at := range lifted {
		end(target, at)
	}

	for target := range since {
		i.InForce = true

		end(target, i.To)
	}

	return all
}

// applies reports whether a ceiling is in force after an action of a kind.
func applies(kind string) bool {
	return kind == resources.ActionApply || kind == resources.ActionAdjust || kind == resources.ActionAdopt
}

// lifts reports whether an action of a kind ends a ceiling that may be applied again.
func lifts(kind string) bool {
	return kind == resources.ActionProbe || kind == resources.ActionExternalChange
}

func longEnough(from, to time.Time) Period {
	if to.Sub(from) < leastLength {
		return Period{}
	}

	return Period{from, to}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}

	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}

	return b
}
