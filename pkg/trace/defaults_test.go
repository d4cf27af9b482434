// SPDX-License-Identifier: MPL-2.0

package trace_test

import (
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/alerts"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/test/incident"
	"github.com/spegel-guard/spegel-guard/test/reaction"
)

// check asserts that a culprit is capped after its alert, and that nothing happens to any other node.
func check(t *testing.T, r *reaction.Reaction, name string, node incident.Node) {
	t.Helper()

	if node.Role != incident.Culprit {
		assert.Empty(t, r.Fired, "%s: rules that fired on a %s", name, node.Role)
		assert.Negative(t, r.Ceiling, "%s: a %s is capped", name, node.Role)

		return
	}

	require.GreaterOrEqual(t, r.Ceiling, time.Duration(0), "%s: the culprit has no ceiling", name)
	assert.LessOrEqual(t, r.Ceiling, 11*time.Minute, name)

	order := "no alert before it, allocation was not measured"

	if !math.IsNaN(node.Intervals[0].Allocation) {
		require.Contains(t, r.Fired, alerts.HighAllocation, name)
		assert.LessOrEqual(t, r.Fired[alerts.HighAllocation], 3*time.Minute, name)
		assert.Less(t, r.Fired[alerts.HighAllocation], r.Ceiling, name)

		order = fmt.Sprintf("%s after %s", alerts.HighAllocation, r.Fired[alerts.HighAllocation])
	}

	t.Logf("%-34s %s -> ceiling after %s (%s)", name, order, r.Ceiling, r.Rule)
}

func recordings(t *testing.T) []incident.Recording {
	t.Helper()

	all, err := incident.Recordings()
	require.NoError(t, err)

	return all
}

// TestDefault_CapsTalosProd2AloneInTheIncident replays the incident's three nodes with the default document, as it is written into
// ExtensionServiceConfig.
func TestDefault_CapsTalosProd2AloneInTheIncident(t *testing.T) {
	text, err := config.Marshal(config.Default())
	require.NoError(t, err)

	document, err := config.Parse(text)
	require.NoError(t, err)

	file, err := os.Open("testdata/recorded-incident.jsonl")
	require.NoError(t, err)

	defer file.Close()

	nodes, err := reaction.ToTrace(file, document)
	require.NoError(t, err)

	var capped, reported []string

	for _, name := range slices.Sorted(maps.Keys(nodes)) {
		r := nodes[name]
		t.Logf("%s: rules fired after %v, ceiling by rule %q", name, r.Fired, r.Rule)

		if r.Ceiling >= 0 {
			t.Logf("%s: %s after %s -> ceiling after %s", name, alerts.HighAllocation, r.Fired[alerts.HighAllocation], r.Ceiling)
			capped = append(capped, name)
		}

		if len(r.Fired) > 0 {
			reported = append(reported, name)
		}
	}

	require.Len(t, nodes, 3)
	assert.Equal(t, []string{"talos-prod-2"}, capped)
	assert.Equal(t, []string{"talos-prod-2"}, reported)

	culprit := nodes["talos-prod-2"]
	require.Contains(t, culprit.Fired, alerts.HighAllocation)
	assert.Less(t, culprit.Fired[alerts.HighAllocation], culprit.Ceiling, "the leading indicator")

	for _, rule := range document.Rules {
		if rule.Name == alerts.HighAllocation {
			assert.Equal(t, config.ModeObserve, rule.Mode)
		}
	}
}

// TestDefault_CapsCulpritsOfRecordedTraces replays the shipped traces of the incident's table and of the recordings.
func TestDefault_CapsCulpritsOfRecordedTraces(t *testing.T) {
	defaults := config.Default()

	for _, recording := range recordings(t) {
		t.Run(recording.Name, func(t *testing.T) {
			file, err := os.Open("testdata/recorded-" + recording.Name + ".jsonl")
			require.NoError(t, err)

			defer file.Close()

			nodes, err := reaction.ToTrace(file, defaults)
			require.NoError(t, err)
			require.Len(t, nodes, len(recording.Nodes))

			for _, node := range recording.Nodes {
				check(t, nodes[node.Name], recording.Name+" "+node.Name, node)
			}
		})
	}
}

// TestDefault_CapsCulpritsInClosedLoop: whatever level the credits start with.
func TestDefault_CapsCulpritsInClosedLoop(t *testing.T) {
	for _, recording := range recordings(t) {
		for _, node := range recording.Nodes {
			t.Run(recording.Name+"/"+node.Name, func(t *testing.T) {
				for seed := range uint64(10) {
					check(t, reaction.ToNode(node, 30*time.Minute, seed), fmt.Sprintf("%s %s, seed %d", recording.Name, node.Name, seed), node)
				}
			})
		}
	}
}

// TestDefault_NeverCapsPeers: a day beside a culprit, with a quarter more CPU usage and allocation, and a fifth more traffic, than in
// the busiest interval of its recording.
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

			check(t, reaction.ToNode(steady, 24*time.Hour, 1), recording.Name+" "+node.Name, steady)
		}
	}
}

// TestDefault_ReportsTrafficAlone: a ceiling cannot limit a pod that uses less than it, so that traffic without CPU usage is
// reported only.
func TestDefault_ReportsTrafficAlone(t *testing.T) {
	r := reaction.ToNode(incident.Node{Intervals: []incident.Interval{{Over: time.Hour, CPU: 0.1, TX: 2e6, Allocation: 1e6}}}, time.Hour, 1)

	assert.Contains(t, r.Fired, alerts.HighTX)
	assert.Len(t, r.Fired, 1)
	assert.Negative(t, r.Ceiling)
	t.Logf("%s after %s, no ceiling", alerts.HighTX, r.Fired[alerts.HighTX])
}
