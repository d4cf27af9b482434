// SPDX-License-Identifier: MPL-2.0

// Package reaction computes when the default rules react to what the nodes of a recording used.
package reaction

import (
	"io"
	"strings"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/trace"
	"github.com/spegel-guard/spegel-guard/test/incident"
	"github.com/spegel-guard/spegel-guard/test/plant"
)

// Reaction is what the rules do about a node.
type Reaction struct {
	// Fired is when each rule fired first.
	Fired map[string]time.Duration
	// Ceiling is when the first ceiling was due, negative without one, and Rule the rule that led to it.
	Ceiling time.Duration
	Rule    string
}

func newReaction() *Reaction { return &Reaction{Fired: map[string]time.Duration{}, Ceiling: -1} }

func (r *Reaction) see(at time.Duration, d policy.Decision) {
	for i := range d.Rules {
		if _, seen := r.Fired[d.Rules[i].Rule.Name]; !seen && d.Rules[i].State == policy.StateFiring {
			r.Fired[d.Rules[i].Rule.Name] = at
		}
	}

	if r.Ceiling < 0 && d.Held && d.Hold.Enforced() {
		r.Ceiling, r.Rule = at, d.Hold.Rule
	}
}

// ToTrace replays a trace of a recording (test/traces) with a document, and returns the reaction to each node by its name. It fails
// when the trace cannot be read.
func ToTrace(r io.Reader, document config.Config) (map[string]*Reaction, error) {
	nodes := map[string]*Reaction{}

	err := trace.Replay(r, &document, func(s trace.Step) {
		name := strings.TrimSuffix(strings.TrimPrefix(s.Workload, "spegel/spegel-"), "/registry")
		if nodes[name] == nil {
			nodes[name] = newReaction()
		}

		nodes[name].see(s.Elapsed, s.Decision)
	})

	return nodes, err
}

// ToNode lets a node be as busy as in its recording for a time, sampled once a second, under the ceilings of the default rules. The
// seed sets the level of CPU credit at the start.
func ToNode(node incident.Node, lasts time.Duration, seed uint64) *Reaction {
	r := newReaction()
	loop := plant.Loop{Engine: policy.New(config.Default().Policy(), policy.Options{Seed: seed}), Step: time.Second}

	for loop.Plant.Sample.At < lasts {
		now := node.At(loop.Plant.Sample.At)

		loop.Plant.PerCore = plant.Rates{TX: now.TX / now.CPU, RX: now.RX / now.CPU, Allocation: now.Allocation / now.CPU}
		loop.Run(time.Second, now.CPU, func(s policy.Sample, d policy.Decision) { r.see(s.At, d) })
	}

	return r
}
