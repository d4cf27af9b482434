//go:build linux

package controllers

import (
	"context"
	"fmt"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/safe"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/discover"
	"github.com/spegel-guard/spegel-guard/pkg/nodestat"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/host"
)

// How often the node is looked at. Nothing is decided on it, so it may lag behind.
const (
	nodeInterval = 5 * time.Second
	// podsInterval: a question to the runtime.
	podsInterval = 30 * time.Second
	// contentInterval: a folder that did not change costs one stat(2), one that did thousands.
	contentInterval = time.Minute
)

// NodeController reads what the node has, and how it fares. Decisions do not wait for it.
type NodeController struct {
	Host host.Host
	// Content is where containerd's content store is.
	Content string
	// Pods knows the node's pods.
	Pods discover.Labels

	content *beside[nodestat.Usage]
	disk    *beside[nodestat.Disk]
	pods    *beside[resources.Reading]
	nfs     *beside[counted[nodestat.NFS]]
	links   counted[nodestat.Traffic]
}

// Name implements controller.Controller.
func (*NodeController) Name() string { return "guard.NodeController" }

// Inputs implements controller.Controller.
func (*NodeController) Inputs() []controller.Input { return nil }

// Outputs implements controller.Controller.
func (*NodeController) Outputs() []controller.Output {
	return []controller.Output{{Type: resources.NodeStatsType, Kind: controller.OutputExclusive}}
}

// Run implements controller.Controller.
func (c *NodeController) Run(ctx context.Context, r controller.Runtime, _ *zap.Logger) error {
	store := nodestat.NewContent(c.Content)

	var nfs counted[nodestat.NFS]

	c.content = &beside[nodestat.Usage]{interval: contentInterval, read: store.Usage}
	c.disk = &beside[nodestat.Disk]{interval: nodeInterval, read: func() (nodestat.Disk, error) { return nodestat.ReadDisk(c.Content) }}
	c.pods = &beside[resources.Reading]{interval: podsInterval, read: func() (resources.Reading, error) { return c.countPods(ctx) }}
	c.nfs = &beside[counted[nodestat.NFS]]{interval: nodeInterval, read: func() (counted[nodestat.NFS], error) {
		return remember(&nfs, func() (nodestat.NFS, error) { return nodestat.ReadNFS(c.Host.Proc) })
	}}

	return every(ctx, r, func() time.Duration { return nodeInterval }, func(bool) error {
		stats := c.sample(boottime.Now())

		err := safe.WriterModify(ctx, r, resources.NewNodeStats(), func(n *resources.NodeStats) error {
			*n.TypedSpec() = stats

			return nil
		})
		if err != nil {
			return fmt.Errorf("error publishing the node's stats: %w", err)
		}

		return nil
	})
}

func (c *NodeController) sample(clock time.Duration) resources.NodeStatsSpec {
	stats := resources.NodeStatsSpec{At: time.Now().UTC(), Clock: clock}

	usage, err := c.content.latest(clock)
	stats.ContentBlobs, stats.ContentBytes = known(float64(usage.Blobs), err), known(float64(usage.Bytes), err)

	disk, err := c.disk.latest(clock)
	stats.DiskBytes, stats.DiskUsedBytes = known(float64(disk.Total), err), known(float64(disk.Used), err)
	stats.DiskUsedRatio = known(disk.Ratio(), err)

	pods, err := c.pods.latest(clock)
	if stats.Pods = pods; err != nil {
		stats.Pods = unavailable(err.Error())
	}

	c.sampleLinks(&stats)
	c.sampleNFS(&stats)

	return stats
}

func (c *NodeController) sampleLinks(stats *resources.NodeStatsSpec) {
	links, err := remember(&c.links, nodestat.ReadLinks)
	if err != nil {
		stats.TXBytesPerSecond, stats.RXBytesPerSecond = unavailable(err.Error()), unavailable(err.Error())

		return
	}

	elapsed := (links.at - links.beforeAt).Seconds()

	stats.TXBytes, stats.RXBytes = links.now.TXBytes, links.now.RXBytes
	stats.TXBytesPerSecond = rate(links.before.TXBytes, links.now.TXBytes, elapsed, !links.rates)
	stats.RXBytesPerSecond = rate(links.before.RXBytes, links.now.RXBytes, elapsed, !links.rates)
}

func (c *NodeController) sampleNFS(stats *resources.NodeStatsSpec) {
	unavailableNFS := func(reason string) {
		stats.NFSReadBytesPerSecond, stats.NFSWriteBytesPerSecond = unavailable(reason), unavailable(reason)
		stats.NFSOperationsPerSecond, stats.NFSRoundTripSeconds = unavailable(reason), unavailable(reason)
	}

	nfs, err := c.nfs.latest(stats.Clock)

	switch {
	case err != nil:
		unavailableNFS(err.Error())

		return
	case nfs.now.Mounts == 0:
		unavailableNFS("no NFS is mounted")

		return
	}

	elapsed, first := (nfs.at - nfs.beforeAt).Seconds(), !nfs.rates || nfs.before.Mounts != nfs.now.Mounts

	stats.NFSReadBytesPerSecond = rate(nfs.before.ReadBytes, nfs.now.ReadBytes, elapsed, first)
	stats.NFSWriteBytesPerSecond = rate(nfs.before.WriteBytes, nfs.now.WriteBytes, elapsed, first)
	stats.NFSOperationsPerSecond = rate(nfs.before.Operations, nfs.now.Operations, elapsed, first)
	stats.NFSRoundTripSeconds = roundTrip(nfs, first)
}

// roundTrip is the mean of the operations that were answered between the readings.
func roundTrip(nfs counted[nodestat.NFS], first bool) resources.Reading {
	operations := nfs.now.Operations - min(nfs.before.Operations, nfs.now.Operations)

	if !first && operations == 0 {
		return unavailable("no operation was answered")
	}

	mean := rate(nfs.before.RoundTripMilliseconds, nfs.now.RoundTripMilliseconds, 1e3*float64(operations), first)
	if mean.Provenance == resources.ProvenanceMeasured {
		mean.Provenance = resources.ProvenanceDerived
	}

	return mean
}

// countPods asks the runtime, and counts their cgroups when it does not answer.
func (c *NodeController) countPods(ctx context.Context) (resources.Reading, error) {
	pods, err := c.Pods.Pods(ctx, nil)
	if err == nil {
		return measured(float64(len(pods))), nil
	}

	count, countErr := cgroup.CountPods(c.Host.Cgroup)
	if countErr != nil {
		return resources.Reading{}, fmt.Errorf("%w; %w", err, countErr)
	}

	return resources.Reading{Value: float64(count), Provenance: resources.ProvenanceDerived, Reason: "their cgroups: " + err.Error()}, nil
}

func known(value float64, err error) resources.Reading {
	if err != nil {
		return unavailable(err.Error())
	}

	return measured(value)
}
