// SPDX-License-Identifier: MPL-2.0

package top

import (
	"math"
	"strings"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/duration"
	"github.com/spegel-guard/spegel-guard/internal/printable"
	"github.com/spegel-guard/spegel-guard/pkg/client"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

// node is one node of the view.
type node struct {
	client *client.Node
	// name is printable.
	name   string
	place  int
	status *client.Status
	// worst is the target that is shown; empty when there is none.
	worst client.TargetStatus
	err   error
	// curves of its targets, by their ids. That of the last one stays while there is no target.
	curves map[string]*curve
	last   string
}

// curve is the history of a target.
type curve struct {
	points []point
	// seeded: the points from before the view began were asked for.
	seeded bool
}

// maxCurves is how many targets of a node have one: a node decides how many it has.
const maxCurves = 24

// Bounds of texts in bytes: each frame wraps them.
const (
	maxText  = printable.MaxText
	maxState = 64
)

func newNode(client *client.Node, name string, place int) *node {
	return &node{client: client, name: printable.Line(name), place: place}
}

// take stores a response. An error leaves the last status in place.
func (n *node) take(msg statusMsg) {
	n.err = msg.err

	if msg.err != nil {
		return
	}

	n.status, n.worst = msg.status, msg.status.Worst()

	curves := map[string]*curve{}

	// The target that is shown is the first of them.
	for _, target := range append([]client.TargetStatus{n.worst}, n.status.Targets...) {
		if curves[target.ID] != nil || target.ID == "" || len(curves) == maxCurves {
			continue
		}

		c := n.curves[target.ID]
		if c == nil {
			c = &curve{}
		}

		c.points = append(c.points, now(msg.at, target))
		c.forget(msg.at)
		curves[target.ID] = c
	}

	if len(curves) > 0 {
		n.curves, n.last = curves, n.worst.ID
	}
}

// points returns those of the target that is shown.
func (n *node) points() []point {
	if c := n.curves[n.last]; c != nil {
		return c.points
	}

	return nil
}

// unseeded reports whether a history has not been asked for, once: the answer has that of all targets.
func (n *node) unseeded() bool {
	shown := n.curves[n.last]
	unseeded := shown != nil && !shown.seeded

	for _, c := range n.curves {
		c.seeded = c.seeded || unseeded
	}

	return unseeded
}

// seed puts the history in front of the points that were seen.
func (n *node) seed(history *guardv1alpha1.History) {
	for _, series := range history.GetSeries() {
		if c := n.curves[series.GetTarget()]; c != nil {
			c.seed(series.GetPoints())
		}
	}
}

func (c *curve) seed(points []*guardv1alpha1.Point) {
	var before []point

	for _, was := range points {
		if was.GetAt() == nil {
			continue // the node's clock is not set
		}

		if p := past(was.GetAt().AsTime(), was); len(c.points) == 0 || p.at.Before(c.points[0].at) {
			before = append(before, p)
		}
	}

	c.points = append(before, c.points...)
}

func (c *curve) forget(now time.Time) {
	old := 0

	for old < len(c.points) && now.Sub(c.points[old].at) > keep {
		old++
	}

	c.points = c.points[old:]
}

// newest returns the newest value of a signal; NaN when it is unavailable.
func (n *node) newest(signal int) float64 {
	points := n.points()
	if len(points) == 0 {
		return math.NaN()
	}

	return points[len(points)-1].values[signal]
}

// threshold returns the threshold of the first rule about a signal, 0 for none.
func (n *node) threshold(signal int) float64 {
	for _, rule := range n.worst.Rules {
		if rule.Signal == string(signals[signal].signal) && Drawable(rule.Threshold) > 0 {
			return rule.Threshold
		}
	}

	return 0
}

// ceiling returns the ceiling in force in cores, 0 for none.
func (n *node) ceiling() float64 {
	if cores := client.CeilingCores(n.worst.Ceiling); Drawable(cores) > 0 {
		return cores
	}

	return 0
}

// state returns the state to show.
func (n *node) state() string {
	switch {
	case client.IsUnreachableError(n.err):
		return stateUnreachable
	case n.err != nil:
		return stateFailed
	case n.status == nil:
		return stateAsking
	default:
		return printable.Clip(n.status.State, maxState)
	}
}

// missing says why a signal has no newest value; empty when it has one.
func (n *node) missing(signal int) string {
	switch {
	case n.status == nil:
		return "no response yet"
	case n.worst.ID == "":
		return "no target on this node"
	}

	r := reading(signal, n.worst)
	if r.Known() {
		return ""
	}

	return printable.Line(printable.Clip(r.Provenance, maxText) + ": " + printable.Clip(r.Reason, maxText))
}

// why returns why a node is in its state and what its rules wait for, or its error.
func (n *node) why() string {
	if n.err != nil {
		return printable.Line(printable.Clip(n.err.Error(), maxText))
	}

	if n.status == nil {
		return ""
	}

	text := printable.Clip(n.status.Message, maxText)

	for _, rule := range n.worst.Rules {
		if rule.State == "ok" {
			continue
		}

		if len(text) > maxText {
			break
		}

		if text != "" {
			text += "; "
		}

		text += printable.Clip(rule.Name, maxText) + " " + printable.Clip(rule.State, maxState)

		if rule.TripsIn > 0 {
			text += " (trips in " + duration.Format(rule.TripsIn) + ")"
		}

		if rule.Reason != "" {
			text += " (" + printable.Clip(rule.Reason, maxText) + ")"
		}
	}

	return printable.Line(printable.Clip(text, maxText))
}

// has reports whether the node's name or state contains a text, whatever the case.
func (n *node) has(text string) bool {
	return strings.Contains(strings.ToLower(n.name), strings.ToLower(text)) || strings.Contains(strings.ToLower(n.state()), strings.ToLower(text))
}
