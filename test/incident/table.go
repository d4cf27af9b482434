// SPDX-License-Identifier: MPL-2.0

package incident

// Figures are averages of a node of the incident's table, before the fix.
type Figures struct {
	Name string
	Role Role
	// CPU in cores, TX and Allocation in bytes per second, GC in cycles per second.
	CPU, TX, Allocation, GC float64
	// Blobs of the content store, used share of /var, and Pods.
	Blobs, Disk, Pods float64
	// NodeTX and NFS of the whole node in bytes per second.
	NodeTX, NFS float64
}

// CulpritAllocation in bytes per second: the incident's culprit allocated 48 GB in 5 minutes.
const CulpritAllocation = 48e9 / 300.

// PeerAllocation in bytes per second is the highest of all peers in the recordings.
const PeerAllocation = 365e6 / 60.

// LeastCulpritAllocation in bytes per second is the lowest of all culprits in the recordings.
const LeastCulpritAllocation = 3.1e9 / 60.

// Table returns the three nodes of the incident. GC, NFS and the peers' allocation were not written down: GC and the allocation
// are those of the recordings, NFS is about the same on all nodes.
func Table() []Figures {
	return []Figures{
		{"talos-prod-1", Peer, 0.28, 0.8e6, PeerAllocation, 1.5, 817, 0.56, 44, 1.5e6, 2e6},
		{"talos-prod-2", Culprit, 1.8, 1.4e6, CulpritAllocation, 9.5, 1053, 0.74, 59, 1.9e6, 2.1e6},
		{"talos-prod-3", Peer, 0.25, 0.8e6, PeerAllocation, 1.4, 772, 0.55, 22, 1.1e6, 1.9e6},
	}
}
