// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netns"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/test/node"
)

// Figures of the incident's node, whose pods were 59: those of another one are enough, because a sandbox takes the emulated machine
// seconds. within is the allowed relative difference.
const (
	incidentBlobs = 1053
	nodePods      = 22
	incidentTX    = 1.4e6
	diskUsed      = 0.45
	within        = 0.02
)

// watching is a configuration whose rule never fires.
const watching = `
mode: observe
interval: 2s
target: {metrics: {interval: 2s}}
rules: [{name: Never, signal: cpu, threshold: 1000, for: 1h, window: 1m}]
`

// TestStats_MatchSystemTools creates pods, and the blobs and disk usage of the incident's node, and compares the resources of
// the guard with find, df, ip and the counters of the workload.
func TestStats_MatchSystemTools(t *testing.T) {
	// The guard reads the facts of the node at long intervals, the first time when it starts.
	l := newLoopWith(t, nil, func(l *loop) (*node.Guard, error) {
		prepareNode(t, l.node)

		return l.node.StartGuard(t.Context(), watching)
	})
	ctx := t.Context()

	require.Eventually(t, func() bool {
		stats := getNodeStats(t, l.guard)

		return stats.Pods.Value == nodePods && stats.ContentBlobs.Value == incidentBlobs && stats.DiskUsedRatio.Value > 0.9*diskUsed
	}, patience, time.Second, "%s", l.guard.Log)

	const payload, onTheWire = 8000, 8008 + 6*34 // with the UDP header, and the IP and Ethernet headers of six fragments

	// Counters are compared while nothing is sent, because they are not read at the same time.
	const over = 10 * time.Second

	first := waitQuiet(t, l)
	firstSent, firstPayload := ipBytes(t, l.spegel), workloadBytes(t, l.spegel)

	require.NoError(t, l.spegel.Steer(ctx, map[string]any{
		"mode": "paced", "rate": incidentTX * payload / onTheWire, "payload": payload, "blobs": incidentBlobs,
		"peers": []string{l.peer.IP + ":5001"},
	}))

	time.Sleep(over)

	during := waitTargetStats(t, l, func(stats resources.TargetStatsSpec) bool {
		return stats.TXBytesPerSecond.Value > 0 && stats.Application.AllocBytesPerSecond.Value > 0
	})

	l.calm(t, l.spegel)

	last := waitQuiet(t, l)
	sent := float64(last.Counters.TXBytes - first.Counters.TXBytes)
	ip := ipBytes(t, l.spegel) - firstSent
	workload := (workloadBytes(t, l.spegel) - firstPayload) * onTheWire / payload

	t.Logf("tx: guard %.0f B (%.0f B/s during the load), ip -s link %.0f B, workload %.0f B; the load is %.0f B/s for %s",
		sent, during.TXBytesPerSecond.Value, ip, workload, incidentTX, over)

	// The requests of the test and their answers use the same interface, so the counters differ slightly.
	assert.InEpsilon(t, ip, sent, within)
	assert.InEpsilon(t, workload, sent, within)
	assert.Equal(t, resources.ProvenanceMeasured, during.TXBytesPerSecond.Provenance)

	assertApplication(t, during)

	stats := getNodeStats(t, l.guard)
	blobs := strings.Count(output(t, "find", filepath.Join(node.ContentStore, "blobs"), "-type", "f", "-printf", `%s\n`), "\n")
	df := strings.Fields(strings.Split(output(t, "df", "--block-size=1", "--output=size,used,avail", node.ContentStore), "\n")[1])
	size, used, avail := number(t, df[0]), number(t, df[1]), number(t, df[2])

	t.Logf("blobs: guard %.0f, find %d; disk: guard %.3f, df %.3f; pods: guard %.0f", stats.ContentBlobs.Value, blobs,
		stats.DiskUsedRatio.Value, used/(used+avail), stats.Pods.Value)

	assert.Equal(t, incidentBlobs, blobs)
	assert.InDelta(t, blobs, stats.ContentBlobs.Value, 0)
	assert.InEpsilon(t, sum(t, output(t, "find", filepath.Join(node.ContentStore, "blobs"), "-type", "f", "-printf", `%s\n`)), stats.ContentBytes.Value, within)
	assert.InDelta(t, nodePods, stats.Pods.Value, 0)
	assert.InEpsilon(t, size, stats.DiskBytes.Value, within)
	assert.InEpsilon(t, used, stats.DiskUsedBytes.Value, within)
	assert.InEpsilon(t, used/(used+avail), stats.DiskUsedRatio.Value, within)
	assert.InDelta(t, diskUsed, stats.DiskUsedRatio.Value, within*diskUsed)

	for _, reading := range []resources.Reading{stats.ContentBlobs, stats.DiskUsedRatio, stats.Pods, stats.TXBytesPerSecond} {
		assert.Equal(t, resources.ProvenanceMeasured, reading.Provenance, reading.Reason)
	}

	assert.Equal(t, resources.ProvenanceUnavailable, stats.NFSOperationsPerSecond.Provenance)
	assert.Equal(t, "no NFS is mounted", stats.NFSOperationsPerSecond.Reason)
}

// prepareNode creates pods, and the blobs and disk usage of the incident.
func prepareNode(t *testing.T, n *node.Node) {
	t.Helper()

	ctx := t.Context()
	present := strings.Count(output(t, "find", filepath.Join(node.ContentStore, "blobs"), "-type", "f", "-printf", `%s\n`), "\n")

	require.NoError(t, n.AddBlobs(ctx, incidentBlobs-present, 1000))

	// Spegel and its peer run already.
	pods := make([]*node.Pod, nodePods-2)

	t.Cleanup(func() {
		_ = sideBySide(len(pods), func(i int) error {
			if pods[i] == nil {
				return nil
			}

			return pods[i].Remove(context.Background())
		})
	})

	require.NoError(t, sideBySide(len(pods), func(i int) (err error) {
		pods[i], err = n.RunSandbox(ctx, node.PodSpec{Name: fmt.Sprint("filler-", i), Namespace: "default", HostNetwork: true})

		return err
	}))

	var fs unix.Statfs_t

	require.NoError(t, unix.Statfs("/var", &fs))

	missing := int64(diskUsed*float64(fs.Blocks)) - int64(fs.Blocks-fs.Bfree)
	require.Positive(t, missing)

	filler, err := os.Create("/var/filler")
	require.NoError(t, err)
	t.Cleanup(func() { os.Remove(filler.Name()) })
	require.NoError(t, unix.Fallocate(int(filler.Fd()), 0, 0, missing*fs.Bsize))
	filler.Close()
}

// sideBySide does n things, four at a time.
func sideBySide(n int, do func(i int) error) error {
	var group errgroup.Group

	group.SetLimit(4)

	for i := range n {
		group.Go(func() error { return do(i) })
	}

	return group.Wait()
}

// assertApplication checks the application metrics and the counters of the cgroup.
func assertApplication(t *testing.T, stats resources.TargetStatsSpec) {
	t.Helper()

	p := stats.Application

	for name, reading := range map[string]resources.Reading{
		"alloc": p.AllocBytesPerSecond, "gc": p.GCPerSecond, "heap": p.HeapBytes, "goroutines": p.Goroutines,
	} {
		assert.Equal(t, resources.ProvenanceMeasured, reading.Provenance, "%s: %s", name, reading.Reason)
	}

	assert.Equal(t, resources.Unavailable("the target exports no spegel_advertised_keys"), p.AdvertisedKeys, "as spegel v0.6")
	assert.Equal(t, resources.ProvenanceMeasured, p.AdvertisedContentDigests.Provenance)
	assert.Positive(t, p.AllocBytesPerSecond.Value)

	for name, reading := range map[string]resources.Reading{
		"cpu user": stats.CPUUser, "cpu system": stats.CPUSystem, "memory": stats.MemoryBytes, "peak": stats.MemoryPeakBytes,
		"pids": stats.Pids, "pressure": stats.CPUPressure, "packets": stats.TXPacketsPerSecond, "drops": stats.TXDroppedPerSecond,
	} {
		assert.Equal(t, resources.ProvenanceMeasured, reading.Provenance, "%s: %s", name, reading.Reason)
	}

	assert.InDelta(t, stats.CPU.Value, stats.CPUUser.Value+stats.CPUSystem.Value, 0.01)
	assert.GreaterOrEqual(t, stats.MemoryPeakBytes.Value, stats.MemoryBytes.Value)
	assert.Positive(t, stats.Pids.Value)
}

// waitQuiet waits until the target sends nothing, and returns that sample.
func waitQuiet(t *testing.T, l *loop) resources.TargetStatsSpec {
	t.Helper()

	began := boottime.Now()

	return waitTargetStats(t, l, func(stats resources.TargetStatsSpec) bool {
		return stats.TXBytesPerSecond.Provenance == resources.ProvenanceMeasured && stats.TXBytesPerSecond.Value == 0 && stats.Clock >= began
	})
}

func waitTargetStats(t *testing.T, l *loop, match func(resources.TargetStatsSpec) bool) (stats resources.TargetStatsSpec) {
	t.Helper()

	require.Eventually(t, func() bool {
		stats = getTargetStats(t, l)

		return match(stats)
	}, patience, 500*time.Millisecond, "%+v", &stats)

	return stats
}

// getTargetStats gets the resource by its alias, as talosctl does.
func getTargetStats(t *testing.T, l *loop) resources.TargetStatsSpec {
	t.Helper()

	return *talosctlGet(t, l.guard.Client, "targetstats", workloadID).(*resources.TargetStats).TypedSpec()
}

// getNodeStats gets the resource by its alias, as talosctl does.
func getNodeStats(t *testing.T, guard *node.Guard) resources.NodeStatsSpec {
	t.Helper()

	return *talosctlGet(t, guard.Client, "nodestats", resources.NodeStatsID).(*resources.NodeStats).TypedSpec()
}

func talosctlGet(t *testing.T, c *client.Client, alias, id string) resource.Resource {
	t.Helper()

	namespace := ""

	definition, err := c.ResolveResourceKind(t.Context(), &namespace, alias)
	require.NoError(t, err)

	var got resource.Resource

	require.Eventually(t, func() bool {
		got, err = c.COSI.Get(t.Context(), resource.NewMetadata(namespace, definition.TypedSpec().Type, id, resource.VersionUndefined))

		return !state.IsNotFoundError(err)
	}, patience, 100*time.Millisecond)
	require.NoError(t, err)

	return got
}

// ipBytes returns the bytes that the pod has sent, from ip(8) in the pod's network namespace.
func ipBytes(t *testing.T, pod *node.Pod) float64 {
	t.Helper()

	var (
		out []byte
		err error
	)

	done := make(chan bool)

	go func() {
		defer close(done)

		// The thread ends with the goroutine, so nothing else runs in the pod's namespace.
		runtime.LockOSThread()

		var ns netns.NsHandle

		if ns, err = netns.GetFromPid(pod.PID); err == nil {
			defer ns.Close()

			if err = netns.Set(ns); err == nil {
				out, err = exec.Command("ip", "-s", "-j", "link", "show", "eth0").Output()
			}
		}
	}()

	<-done
	require.NoError(t, err)

	var links []struct {
		Stats64 struct {
			TX struct {
				Bytes float64 `json:"bytes"`
			} `json:"tx"`
		} `json:"stats64"`
	}

	require.NoError(t, json.Unmarshal(out, &links))
	require.Len(t, links, 1)

	return links[0].Stats64.TX.Bytes
}

// workloadBytes returns the payload that the workload has sent, from its own counter.
func workloadBytes(t *testing.T, pod *node.Pod) float64 {
	t.Helper()

	response, err := http.Get("http://" + pod.IP + ":9090/stats")
	require.NoError(t, err)

	defer response.Body.Close()

	var stats struct {
		TXBytes float64 `json:"txBytes"`
	}

	require.NoError(t, json.NewDecoder(response.Body).Decode(&stats))

	return stats.TXBytes
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()

	out, err := exec.Command(name, args...).CombinedOutput()
	require.NoError(t, err, "%s", out)

	return string(out)
}

func number(t *testing.T, text string) float64 {
	t.Helper()

	value, err := strconv.ParseFloat(text, 64)
	require.NoError(t, err)

	return value
}

func sum(t *testing.T, lines string) float64 {
	t.Helper()

	var total float64

	for _, line := range strings.Fields(lines) {
		total += number(t, line)
	}

	return total
}
