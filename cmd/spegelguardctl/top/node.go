// SPDX-License-Identifier: MPL-2.0

package top

import (
	"cmp"
	"slices"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

// signals that can be shown.
var signals = [...]struct {
	signal config.Signal
	title  string
	now    func(client.TargetStatus) resources.Reading
	past   func(*guardv1alpha1.Point) *float64
}{
	{
		config.SignalCPU, "CPU",
		func(t client.TargetStatus) resources.Reading { return t.CPU },
		func(p *guardv1alpha1.Point) *float64 { return p.CpuCores },
	},
	{
		config.SignalNetworkTX, "TX",
		func(t client.TargetStatus) resources.Reading { return t.TXBytesPerSecond },
		func(p *guardv1alpha1.Point) *float64 { return p.TxBytesPerSecond },
	},
	{
		config.SignalAllocation, "ALLOC",
		func(t client.TargetStatus) resources.Reading { return t.Application.AllocBytesPerSecond },
		func(p *guardv1alpha1.Point) *float64 { return p.AllocBytesPerSecond },
	},
}

// target returns the target to show: the one that uses the most CPU. It is empty when there is none.
func (n *node) target() client.TargetStatus {
	if n.status == nil || len(n.status.Targets) == 0 {
		return client.TargetStatus{}
	}

	return slices.MaxFunc(n.status.Targets, func(a, b client.TargetStatus) int { return cmp.Compare(a.CPU.Value, b.CPU.Value) })
}

// take stores a response. An error leaves the last status in place.
func (n *node) take(msg statusMsg) {
	n.err = msg.err

	if msg.err != nil {
		return
	}

	n.status = msg.status
	target := n.target()

	if target.ID == "" {
		return
	}

	p := point{at: msg.at}

	for i, s := range signals {
		if r := s.now(target); r.Known() {
			p.values[i], p.known[i] = r.Value, true
		}
	}

	n.points = append(n.points, p)
	n.forget(msg.at)
}

// seed puts the history in front of the points that were seen.
func (n *node) seed(history *guardv1alpha1.History) {
	id := n.target().ID

	var before []point

	for _, series := range history.GetSeries() {
		if series.GetTarget() != id {
			continue
		}

		for _, was := range series.GetPoints() {
			if was.GetAt() == nil {
				continue // the node's clock is not set
			}

			p := point{at: was.GetAt().AsTime()}

			for i, s := range signals {
				if v := s.past(was); v != nil {
					p.values[i], p.known[i] = *v, true
				}
			}

			if len(n.points) == 0 || p.at.Before(n.points[0].at) {
				before = append(before, p)
			}
		}
	}

	n.points = append(before, n.points...)
}

func (n *node) forget(now time.Time) {
	old := 0

	for old < len(n.points) && now.Sub(n.points[old].at) > keep {
		old++
	}

	n.points = n.points[old:]
}

// newest returns the newest value of a signal; -1 when it is unavailable.
func (n *node) newest(signal int) float64 {
	if len(n.points) == 0 || !n.points[len(n.points)-1].known[signal] {
		return -1
	}

	return n.points[len(n.points)-1].values[signal]
}

// threshold returns the threshold of the first rule about a signal, 0 for none.
func (n *node) threshold(signal int) float64 {
	for _, rule := range n.target().Rules {
		if rule.Signal == string(signals[signal].signal) {
			return rule.Threshold
		}
	}

	return 0
}

// ceiling returns the ceiling in force in cores, 0 for none.
func (n *node) ceiling() float64 { return client.CeilingCores(n.target().Ceiling) }

// state returns the state to show.
func (n *node) state() string {
	switch {
	case n.err != nil:
		return "unreachable"
	case n.status == nil:
		return "asking"
	default:
		return n.status.State
	}
}
