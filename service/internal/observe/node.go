// SPDX-License-Identifier: MPL-2.0

//go:build linux

package observe

import (
	"context"
	"fmt"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/discover"
	"github.com/spegel-guard/spegel-guard/pkg/nodestat"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/host"
)

// How often the facts of the node are read. Nothing is decided on them.
const (
	// NodeInterval is how often a Node should be sampled.
	NodeInterval = 10 * time.Second
	// podsInterval: a request to the container runtime.
	podsInterval = 30 * time.Second
	// contentInterval: a folder that did not change costs one stat(2), one that did thousands.
	contentInterval = time.Minute
)

// Node reads the facts of the node. Make one with NewNode.
type Node struct {
	content *background[nodestat.Usage]
	disk    *background[nodestat.Disk]
	pods    *background[resources.Reading]
	nfs     *background[timed[nodestat.NFS]]

	tx, rx   Counter
	nfsRates nfsRates
}

// timed is a reading with its time (CLOCK_BOOTTIME).
type timed[T any] struct {
	value T
	at    time.Duration
}

// NewNode returns a node with containerd's content store in a folder, which is sampled at an interval. Requests to the runtime
// end with the context.
func NewNode(ctx context.Context, h host.Host, content string, pods discover.Labels, interval time.Duration) *Node {
	store := nodestat.NewContent(content)

	return &Node{
		content: &background[nodestat.Usage]{interval: contentInterval, retry: interval, read: store.Usage},
		disk:    &background[nodestat.Disk]{interval: interval, retry: interval, read: func() (nodestat.Disk, error) { return nodestat.ReadDisk(content) }},
		pods:    &background[resources.Reading]{interval: podsInterval, retry: interval, read: func() (resources.Reading, error) { return countPods(ctx, h, pods) }},
		nfs: &background[timed[nodestat.NFS]]{interval: interval, retry: interval, read: func() (timed[nodestat.NFS], error) {
			value, err := nodestat.ReadNFS(h.Proc)

			return timed[nodestat.NFS]{value: value, at: boottime.Now()}, err
		}},
	}
}

// Sample returns the newest facts. It waits for no disk and for no other program.
func (n *Node) Sample(clock time.Duration) resources.NodeStatsSpec {
	stats := resources.NodeStatsSpec{At: boottime.Wall(clock), Clock: clock}

	usage, err := n.content.latest(clock)
	stats.ContentBlobs, stats.ContentBytes = known(float64(usage.Blobs), err), known(float64(usage.Bytes), err)

	disk, err := n.disk.latest(clock)
	stats.DiskBytes, stats.DiskUsedBytes = known(float64(disk.Total), err), known(float64(disk.Used), err)
	stats.DiskUsedRatio = known(disk.Ratio(), err)

	pods, err := n.pods.latest(clock)
	if stats.Pods = pods; err != nil {
		stats.Pods = resources.Unavailable(err.Error())
	}

	n.sampleLinks(&stats)

	nfs, err := n.nfs.latest(clock)
	n.nfsRates.sample(&stats, nfs, err)

	return stats
}

func (n *Node) sampleLinks(stats *resources.NodeStatsSpec) {
	links, err := nodestat.ReadLinks()
	if err != nil {
		n.tx.Lose()
		n.rx.Lose()

		stats.TXBytesPerSecond, stats.RXBytesPerSecond = resources.Unavailable(err.Error()), resources.Unavailable(err.Error())

		return
	}

	at := boottime.Now()
	stats.TXBytes, stats.RXBytes = links.TXBytes, links.RXBytes
	stats.TXBytesPerSecond = n.tx.Rate(at, float64(links.TXBytes), 1)
	stats.RXBytesPerSecond = n.rx.Rate(at, float64(links.RXBytes), 1)
}

// countPods asks the runtime, and counts the pods' cgroups when it does not answer.
func countPods(ctx context.Context, h host.Host, pods discover.Labels) (resources.Reading, error) {
	all, err := pods.Pods(ctx, nil)
	if err == nil {
		return measured(float64(len(all))), nil
	}

	count, countErr := cgroup.CountPods(h.Cgroup)
	if countErr != nil {
		return resources.Reading{}, fmt.Errorf("%w; %w", err, countErr)
	}

	reading := resources.Derived(float64(count))
	reading.Reason = "counted by their cgroups: " + err.Error()

	return reading, nil
}

func known(value float64, err error) resources.Reading {
	if err != nil {
		return resources.Unavailable(err.Error())
	}

	return measured(value)
}
