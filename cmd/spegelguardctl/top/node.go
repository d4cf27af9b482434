// SPDX-License-Identifier: MPL-2.0

package top

import (
	"cmp"
	"slices"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

// signals that can be shown.
var signals = [...]struct {
	signal config.Signal
	title  string
	now    func(*guardv1alpha1.TargetStatus) *guardv1alpha1.Reading
	past   func(*guardv1alpha1.Point) *float64
}{
	{
		config.SignalCPU, "CPU", (*guardv1alpha1.TargetStatus).GetCpuCores,
		func(p *guardv1alpha1.Point) *float64 { return p.CpuCores },
	},
	{
		config.SignalNetworkTX, "TX", (*guardv1alpha1.TargetStatus).GetTxBytesPerSecond,
		func(p *guardv1alpha1.Point) *float64 { return p.TxBytesPerSecond },
	},
	{
		config.SignalAllocation, "ALLOC", (*guardv1alpha1.TargetStatus).GetAllocBytesPerSecond,
		func(p *guardv1alpha1.Point) *float64 { return p.AllocBytesPerSecond },
	},
}

// target is the one to show: the one that uses most, which a ceiling makes no smaller than its peers.
func (n *node) target() *guardv1alpha1.TargetStatus {
	targets := n.status.GetTargets()
	if len(targets) == 0 {
		return nil
	}

	return slices.MaxFunc(targets, func(a, b *guardv1alpha1.TargetStatus) int {
		return cmp.Compare(a.GetCpuCores().GetValue(), b.GetCpuCores().GetValue())
	})
}

// take takes an answer; one that failed leaves what was known, and says so.
func (n *node) take(msg statusMsg) {
	n.err = msg.err

	if msg.err != nil {
		return
	}

	n.status = msg.status
	target := n.target()

	if target == nil {
		return
	}

	p := point{at: msg.at}

	for i, s := range signals {
		if r := s.now(target); r != nil && resources.KnownProvenance(r.GetProvenance()) {
			p.values[i], p.known[i] = r.GetValue(), true
		}
	}

	n.points = append(n.points, p)
	n.forget(msg.at)
}

// seed puts what was before in front of what was seen.
func (n *node) seed(history *guardv1alpha1.History) {
	id := n.target().GetId()

	var before []point

	for _, series := range history.GetSeries() {
		if series.GetTarget() != id {
			continue
		}

		for _, was := range series.GetPoints() {
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

// newest value of a signal; below all others when it is not known.
func (n *node) newest(signal int) float64 {
	if len(n.points) == 0 || !n.points[len(n.points)-1].known[signal] {
		return -1
	}

	return n.points[len(n.points)-1].values[signal]
}

// threshold of the first rule about a signal, 0 for none.
func (n *node) threshold(signal int) float64 {
	for _, rule := range n.target().GetRules() {
		if rule.GetSignal() == string(signals[signal].signal) {
			return rule.GetThreshold()
		}
	}

	return 0
}

// ceiling in force in cores, 0 for none.
func (n *node) ceiling() float64 {
	c := n.target().GetCeiling()
	if c.GetState() != resources.CeilingApplied {
		return 0
	}

	return c.GetCores()
}

// state to show.
func (n *node) state() string {
	switch {
	case n.err != nil:
		return "unreachable"
	case n.status == nil:
		return "asking"
	default:
		return n.status.GetState()
	}
}
