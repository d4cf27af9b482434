// SPDX-License-Identifier: MPL-2.0

package compare

import (
	"fmt"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// Metric is one figure of a node.
type Metric string

// Metrics, those of the incident's table.
const (
	// CPU of the targets in cores, averaged over a minute like TX and Alloc.
	CPU Metric = "cpu"
	// TX of the targets' pods in bytes per second.
	TX Metric = "tx"
	// Alloc is what the targets' programs allocate in bytes per second.
	Alloc Metric = "alloc"
	// GC is their cycles of garbage collection per second.
	GC Metric = "gc"
	// Keys are the content keys that spegel advertises to its peers. Not every version exports them.
	Keys Metric = "keys"
	// Blobs are complete blobs in containerd's content store.
	Blobs Metric = "blobs"
	// Disk is the used share of the file system with the content store (/var on Talos), 0..1.
	Disk Metric = "disk"
	// Pods are ready pod sandboxes.
	Pods Metric = "pods"
	// NodeTX is what the node's physical links send in bytes per second.
	NodeTX Metric = "nodeTx"
	// NFS is bytes to and from NFS servers per second, NFSRTT the mean round trip time in seconds.
	NFS    Metric = "nfs"
	NFSRTT Metric = "nfsRtt"
)

// Metrics returns all metrics in the order of the table.
func Metrics() []Metric {
	return []Metric{CPU, TX, Alloc, GC, Keys, Blobs, Disk, Pods, NodeTX, NFS, NFSRTT}
}

// material is the least difference to the median of the other nodes that marks a figure as odd.
var material = map[Metric]float64{
	CPU: 0.05, TX: 50e3, Alloc: 100e6 / 60, GC: 0.5, Keys: 100, Blobs: 100, Disk: 0.1, Pods: 10, NodeTX: 1e6, NFS: 1e6, NFSRTT: 0.02,
}

// Format formats a figure for people.
func (m Metric) Format(value float64) string {
	switch m {
	case CPU:
		return policy.Cores.Format(value)
	case TX, NodeTX, NFS:
		return policy.BytesPerSecond.Format(value)
	case Alloc:
		return policy.SignalAllocation.Format(value)
	case GC:
		return fmt.Sprintf("%.1f", value)
	case Disk:
		return policy.Ratio.Format(value)
	case NFSRTT:
		return fmt.Sprintf("%.1f ms", value*1000)
	default:
		return fmt.Sprintf("%.0f", value)
	}
}
