// SPDX-License-Identifier: MPL-2.0

package incident_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/test/incident"
)

func TestRecordings_AreThoseOfTheFiles(t *testing.T) {
	recordings, err := incident.Recordings()
	require.NoError(t, err)

	intervals := map[string]int{}
	roles := map[string]map[incident.Role]int{}

	for _, r := range recordings {
		roles[r.Name] = map[incident.Role]int{}

		for _, n := range r.Nodes {
			intervals[r.Name] += len(n.Intervals)
			roles[r.Name][n.Role]++
		}
	}

	spinning := map[incident.Role]int{incident.Culprit: 1, incident.Peer: 2}

	assert.Equal(t, map[string]int{"incident": 3, "test-machine": 5, "spinning": 12, "spinning-1053-blobs": 18, "healthy": 36}, intervals)
	assert.Equal(t, map[string]map[incident.Role]int{
		"incident": spinning, "test-machine": {incident.Culprit: 1, incident.Peer: 1}, "spinning": spinning, "spinning-1053-blobs": spinning,
		"healthy": {incident.Calm: 3},
	}, roles)

	// PeerAllocation is what the documents and compare --help say of affected pods.
	peers, culprits := 0.0, math.Inf(1)

	for _, r := range recordings {
		for _, n := range r.Nodes {
			for _, i := range n.Intervals {
				switch {
				case math.IsNaN(i.Allocation):
				case n.Role == incident.Peer:
					peers = max(peers, i.Allocation)
				case n.Role == incident.Culprit:
					culprits = min(culprits, i.Allocation)
				}
			}
		}
	}

	assert.InDelta(t, incident.PeerAllocation, peers, 0.5e6/60)
	assert.InDelta(t, incident.LeastCulpritAllocation, culprits, 0.05e9/60)

	second := recordings[2].Nodes[1].Intervals[1]
	assert.Equal(t, 30100*time.Millisecond, second.Over.Round(time.Millisecond))
	assert.InDelta(t, 0.892, second.CPU, 1e-9)
	assert.InDelta(t, 434.77e3, second.TX, 1e-6)
	assert.InDelta(t, 490.23e3, second.RX, 1e-6)
	assert.InDelta(t, 3505.7e6/60, second.Allocation, 1e-3)
}
