// SPDX-License-Identifier: MPL-2.0

package trace_test

import (
	"fmt"
	"math"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/alerts"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/trace"
	"github.com/spegel-guard/spegel-guard/test/incident"
	"github.com/spegel-guard/spegel-guard/test/plant"
)

// reaction is what the default rules do about a node.
type reaction struct {
	// fired is when each rule fired first, ceiling when the first ceiling was due; a negative time is never.
	fired   map[string]time.Duration
	ceiling time.Duration
	rule    string
}

func newReaction() *reaction { return &reaction{fired: map[string]time.Duration{}, ceiling: -1} }

func (r *reaction) see(at time.Duration, d policy.Decision) {
	for i := range d.Rules {
		if _, seen := r.fired[d.Rules[i].Rule.Name]; !seen && d.Rules[i].State == policy.StateFiring {
			r.fired[d.Rules[i].Rule.Name] = at
		}
	}

	if r.ceiling < 0 && d.Held && d.Hold.Enforced() {
		r.ceiling, r.rule = at, d.Hold.Rule
	}
}

// check asserts that a culprit is capped after its alert, and that nothing happens to any other node.
func (r *reaction) check(t *testing.T, name string, node incident.Node) {
	t.Helper()

	if node.Role != incident.Culprit {
		assert.Empty(t, r.fired, "%s: rules that fired on a %s", name, node.Role)
		assert.Negative(t, r.ceiling, "%s: a %s is capped", name, node.Role)

		return
	}

	require.GreaterOrEqual(t, r.ceiling, time.Duration(0), "%s: the culprit has no ceiling", name)
	assert.LessOrEqual(t, r.ceiling, 11*time.Minute, name)

	order := "no alert before it, allocation was not measured"

	if !math.IsNaN(node.Intervals[0].Allocation) {
		require.Contains(t, r.fired, alerts.HighAllocation, name)
		assert.LessOrEqual(t, r.fired[alerts.HighAllocation], 3*time.Minute, name)
		assert.Less(t, r.fired[alerts.HighAllocation], r.ceiling, name)

		order = fmt.Sprintf("%s after %s", alerts.HighAllocation, r.fired[alerts.HighAllocation])
	}

	t.Logf("%-34s %s -> ceiling after %s (%s)", name, order, r.ceiling, r.rule)
}

func recordings(t *testing.T) []incident.Recording {
	t.Helper()

	all, err := incident.Recordings()
	require.NoError(t, err)

	return all
}

// TestDefault_CapsCulpritsOfRecordedTraces replays the shipped traces of the incident's table and of the recordings.
func TestDefault_CapsCulpritsOfRecordedTraces(t *testing.T) {
	defaults := config.Default()

	for _, recording := range recordings(t) {
		t.Run(recording.Name, func(t *testing.T) {
			file, err := os.Open("testdata/recorded-" + recording.Name + ".jsonl")
			require.NoError(t, err)

			defer file.Close()

			nodes := map[string]*reaction{}

			require.NoError(t, trace.Replay(file, &defaults, func(s trace.Step) {
				if nodes[s.Workload] == nil {
					nodes[s.Workload] = newReaction()
				}

				nodes[s.Workload].see(s.Elapsed, s.Decision)
			}))

			require.Len(t, nodes, len(recording.Nodes))

			for _, node := range recording.Nodes {
				nodes["spegel/spegel-"+node.Name+"/registry"].check(t, recording.Name+" "+node.Name, node)
			}
		})
	}
}

// run lets a node be as busy as in its recording for a time, sampled once a second, under the ceilings of the default rules.
func run(node incident.Node, lasts time.Duration, seed uint64) *reaction {
	r := newReaction()
	loop := plant.Loop{Engine: policy.New(config.Default().Policy(), policy.Options{Seed: seed}), Step: time.Second}

	for loop.Plant.Sample.At < lasts {
		now := node.At(loop.Plant.Sample.At)

		loop.Plant.PerCore = plant.Rates{TX: now.TX / now.CPU, RX: now.RX / now.CPU, Allocation: now.Allocation / now.CPU}
		loop.Run(time.Second, now.CPU, func(s policy.Sample, d policy.Decision) { r.see(s.At, d) })
	}

	return r
}

// TestDefault_CapsCulpritsInClosedLoop: whatever level the credits start with.
func TestDefault_CapsCulpritsInClosedLoop(t *testing.T) {
	for _, recording := range recordings(t) {
		for _, node := range recording.Nodes {
			t.Run(recording.Name+"/"+node.Name, func(t *testing.T) {
				for seed := range uint64(10) {
					run(node, 30*time.Minute, seed).check(t, fmt.Sprintf("%s %s, seed %d", recording.Name, node.Name, seed), node)
				}
			})
		}
	}
}

// TestDefault_NeverCapsPeers: a day beside a culprit, as busy as in the busiest interval of its recording and a quarter more.
func TestDefault_NeverCapsPeers(t *testing.T) {
	for _, recording := range recordings(t) {
		for _, node := range recording.Nodes {
			if node.Role == incident.Culprit {
				continue
			}

			busiest := incident.Interval{Over: time.Hour}

			for _, i := range node.Intervals {
				busiest.CPU = max(busiest.CPU, 1.25*i.CPU)
				busiest.TX = math.Max(busiest.TX, 1.2*i.TX) // NaN if one is
				busiest.Allocation = math.Max(busiest.Allocation, 1.25*i.Allocation)
			}

			steady := incident.Node{Name: node.Name, Role: node.Role, Intervals: []incident.Interval{busiest}}

			run(steady, 24*time.Hour, 1).check(t, recording.Name+" "+node.Name, steady)
		}
	}
}

// TestDefault_ReportsTrafficAlone: a ceiling cannot limit a pod that uses less than it, so that traffic without CPU usage is
// reported only.
func TestDefault_ReportsTrafficAlone(t *testing.T) {
	r := run(incident.Node{Intervals: []incident.Interval{{Over: time.Hour, CPU: 0.1, TX: 2e6, Allocation: 1e6}}}, time.Hour, 1)

	assert.Contains(t, r.fired, alerts.HighTX)
	assert.Len(t, r.fired, 1)
	assert.Negative(t, r.ceiling)
	t.Logf("%s after %s, no ceiling", alerts.HighTX, r.fired[alerts.HighTX])
}
