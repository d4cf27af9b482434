// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/test/badclient"
	"github.com/spegel-guard/spegel-guard/test/node"
)

const (
	idleWatchers, slowWatchers = 1000, 200
	// maxGuardMegabytes is the memory that the service may use under this load. Runs used 140 to 160 MB, including the
	// kernel's buffers and garbage.
	maxGuardMegabytes = 256
)

// TestAPI_BadClientsDelayNoSample puts the load of the tests of service/internal/api on the whole service. The samples must
// not be delayed.
func TestAPI_BadClientsDelayNoSample(t *testing.T) {
	// The status of these rules changes with every sample, so that there is something to send.
	l := newLoop(t, `
interval: 1s
rules:
  - {name: A, signal: cpu, threshold: "8", for: 1m, window: 2s}
  - {name: B, signal: networkTx, threshold: 1G/s, for: 1m, window: 2s}
`+traced, nil)
	l.runAway(t, l.spegel, l.peer)

	_, err := l.guard.WaitState(t.Context(), patience, resources.StateOK)
	require.NoError(t, err)

	yieldToTheNode(t)

	quiet := waitSamples(t, l.spegel, boottime.Now(), 8)
	before := guardMegabytes(t, l.guard)

	watchIdly(t, l.guard)

	// With an empty flow-control window all data stays in the guard.
	for i := range slowWatchers / 100 {
		client, err := badclient.Dial(node.GuardEndpoint, tlsFor(t, l.guard, fmt.Sprintf("slow-%d", i)), 0)
		require.NoError(t, err)
		t.Cleanup(func() { client.Close() })

		for range 100 {
			_, err := client.Call("/cosi.resource.State/Watch", watchRequest(resources.TargetStatsType))
			require.NoError(t, err)
		}
	}

	var flood errgroup.Group

	for i := range 200 {
		flood.Go(func() error {
			return badclient.HalfOpen(fmt.Sprintf("127.0.0.%d", 60+i%3), node.GuardEndpoint, patience)
		})
	}

	rapid, err := badclient.Dial(node.GuardEndpoint, tlsFor(t, l.guard, "rapid"), 65535)
	require.NoError(t, err)
	t.Cleanup(func() { rapid.Close() })

	resets := make(chan int)

	go func() { resets <- rapid.RapidReset("/cosi.resource.State/Watch", 10_000) }()

	loaded := waitSamples(t, l.spegel, boottime.Now(), 16)

	require.NoError(t, flood.Wait())

	t.Logf("longest time between two samples: %s without clients, %s with %d idle watchers, %d slow watchers, 200 half-open connections and %d rapid resets; memory of the service: %.1f MB before, %.1f MB peak",
		quiet.longest, loaded.longest, idleWatchers, slowWatchers, <-resets, before, guardPeak(t, l.guard))

	loaded.steady(t, quiet)
	assert.Less(t, guardPeak(t, l.guard), float64(maxGuardMegabytes))

	// The guard still answers.
	_, err = l.guard.Status(t.Context())
	require.NoError(t, err)
}

// yieldToTheNode gives this process a low CPU weight. It runs all clients, which are other machines in production and use
// no CPU time of the node.
func yieldToTheNode(t *testing.T) {
	t.Helper()

	const low = node.CgroupRoot + "/clients"

	self, err := os.ReadFile("/proc/self/cgroup")
	require.NoError(t, err)

	home := filepath.Join(node.CgroupRoot, strings.TrimPrefix(strings.TrimSpace(string(self)), "0::"))
	move := func(to string) error {
		return os.WriteFile(filepath.Join(to, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0)
	}

	require.NoError(t, os.Mkdir(low, 0o755))
	require.NoError(t, os.WriteFile(low+"/cpu.weight", []byte("20"), 0))
	require.NoError(t, move(low))
	t.Cleanup(func() {
		require.NoError(t, move(home))
		require.NoError(t, os.Remove(low))
	})
}

// watchIdly opens streams of a resource that does not change.
func watchIdly(t *testing.T, guard *node.Guard) {
	t.Helper()

	var conn *grpc.ClientConn

	for i := range idleWatchers {
		if i%100 == 0 {
			var err error

			conn, err = grpc.NewClient(node.GuardEndpoint, grpc.WithTransportCredentials(credentials.NewTLS(tlsFor(t, guard, fmt.Sprintf("idle-%d", i)))))
			require.NoError(t, err)
			t.Cleanup(func() { conn.Close() })
		}

		stream, err := v1alpha1.NewStateClient(conn).Watch(t.Context(), watchRequest(resources.GuardConfigType))
		require.NoError(t, err)

		_, err = stream.Recv()
		require.NoError(t, err, "watcher %d", i)
	}
}

// tlsFor returns the configuration of a client with the role os:reader. The server counts clients by name.
func tlsFor(t *testing.T, guard *node.Guard, name string) *tls.Config {
	t.Helper()

	cfg, err := guard.PKI.ClientTLS(name, role.Reader)
	require.NoError(t, err)

	return cfg
}

func watchRequest(kind string) *v1alpha1.WatchRequest {
	return &v1alpha1.WatchRequest{Namespace: resources.Namespace, Type: kind, ApiVersion: 1}
}

func guardMegabytes(t *testing.T, guard *node.Guard) float64 {
	return readMegabytes(t, guard, "memory.current")
}

func guardPeak(t *testing.T, guard *node.Guard) float64 {
	return readMegabytes(t, guard, "memory.peak")
}

func readMegabytes(t *testing.T, guard *node.Guard, file string) float64 {
	t.Helper()

	data, err := os.ReadFile(filepath.Join(node.CgroupRoot, guard.CgroupPath, file))
	require.NoError(t, err)

	bytes, err := strconv.ParseFloat(strings.TrimSpace(string(data)), 64)
	require.NoError(t, err)

	return bytes / 1e6
}
