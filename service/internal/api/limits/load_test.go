// SPDX-License-Identifier: MPL-2.0

//go:build linux

package limits_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
	"github.com/spegel-guard/spegel-guard/service/internal/api/apitest"
	"github.com/spegel-guard/spegel-guard/service/internal/api/limits"
	"github.com/spegel-guard/spegel-guard/test/badclient"
	"github.com/spegel-guard/spegel-guard/test/pki"
)

// What the API's process may take at the most, under everything below at once: heap and stacks.
const maxMegabytes = 128

func (c *child) dial(t *testing.T, name string) *grpc.ClientConn {
	t.Helper()

	conn, err := c.dialAs(name)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })

	return conn
}

func (c *child) dialAs(name string) (*grpc.ClientConn, error) {
	cfg, err := c.pki.ClientTLS(name, role.Reader)
	if err != nil {
		return nil, err
	}

	return grpc.NewClient(c.endpoint, grpc.WithTransportCredentials(credentials.NewTLS(cfg)))
}

func watchRequest(kind string) *v1alpha1.WatchRequest {
	return &v1alpha1.WatchRequest{Namespace: resources.Namespace, Type: kind, ApiVersion: 1}
}

// idleWatchers opens streams on which next to nothing happens, and returns how many have heard of something.
func (c *child) idleWatchers(t *testing.T, count int) *atomic.Int64 {
	t.Helper()

	heard := &atomic.Int64{}

	var conn *grpc.ClientConn

	for i := range count {
		if i%limits.MaxStreams == 0 {
			conn = c.dial(t, fmt.Sprintf("idle-%d", i))
		}

		stream, err := v1alpha1.NewStateClient(conn).Watch(t.Context(), watchRequest(resources.GuardConfigType), grpc.WaitForReady(true))
		require.NoError(t, err)

		_, err = stream.Recv()
		require.NoError(t, err, "watcher %d", i)

		go func() {
			if _, err := stream.Recv(); err == nil {
				heard.Add(1)
			}
		}()
	}

	return heard
}

// steadyClient calls over one connection and over new ones until stop, which waits for enough calls.
func (c *child) steadyClient(t *testing.T) (stop func() (calls, failed int64)) {
	t.Helper()

	var (
		calls, freshCalls, failed atomic.Int64
		group                     errgroup.Group
	)

	ctx, cancel := context.WithCancel(context.Background())
	kept := c.dial(t, "steady")

	call := func(conn *grpc.ClientConn) error {
		_, err := machine.NewMachineServiceClient(conn).Version(ctx, &emptypb.Empty{})

		return err
	}
	count := func(err error) {
		if err != nil && ctx.Err() == nil {
			failed.Add(1)
		}

		calls.Add(1)
	}

	group.Go(func() error {
		for ctx.Err() == nil {
			count(call(kept))
			time.Sleep(20 * time.Millisecond)
		}

		return nil
	})
	group.Go(func() error {
		for ctx.Err() == nil {
			fresh, err := c.dialAs("steady")
			if err != nil {
				return err
			}

			began := time.Now()

			// A handshake during which the machine stood still does not count.
			if err := call(fresh); !pki.IsLate(err, time.Since(began)) {
				count(err)
				freshCalls.Add(1)
			}

			fresh.Close()
			time.Sleep(100 * time.Millisecond)
		}

		return nil
	})

	return func() (int64, int64) {
		const enough, enoughFresh = 100, 10

		require.Eventually(t, func() bool { return calls.Load() > enough && freshCalls.Load() > enoughFresh }, apitest.Patience, 10*time.Millisecond, "the calls do not go on")
		cancel()
		assert.NoError(t, group.Wait())

		return calls.Load(), failed.Load()
	}
}

// TestLimits_HoldUnderHostileLoad has the API in a process of its own take, at once, what clients could do to it, and looks
// at what it costs and at who suffers.
func TestLimits_HoldUnderHostileLoad(t *testing.T) {
	c := startChild(t)

	require.Eventually(t, func() bool {
		conn := c.dial(t, "first")
		_, err := machine.NewMachineServiceClient(conn).Version(t.Context(), &emptypb.Empty{})

		return err == nil
	}, apitest.Patience, 100*time.Millisecond)

	before := c.megabytes(t, "now")
	goroutines := c.ask(t, "goroutines")
	stop := c.steadyClient(t)

	heard := c.idleWatchers(t, 1000)
	idle := c.megabytes(t, "now")

	// 200 watchers that take nothing: no flow-control window, so that all there is stays with the server.
	var slow []*badclient.Client

	for i := range 2 {
		client := c.bad(t, fmt.Sprintf("slow-%d", i), 0)

		for range 100 {
			if _, err := client.Call("/cosi.resource.State/Watch", watchRequest(resources.RuleStatusType)); err != nil {
				break // the guard has closed the connection
			}
		}

		slow = append(slow, client)
	}

	// Half-open TLS from three addresses, more of each than the server lets wait.
	var flood errgroup.Group

	for i := range 3 * 100 {
		flood.Go(func() error {
			return badclient.HalfOpen(fmt.Sprintf("127.0.0.%d", 60+i%3), c.endpoint, apitest.Patience)
		})
	}

	c.bad(t, "rapid", 65535).RapidReset("/cosi.resource.State/Watch", 20_000)
	oversized(t, c)

	require.NoError(t, flood.Wait(), "half-open connections are closed")

	for i, client := range slow {
		select {
		case <-client.Ended():
		case <-time.After(apitest.Patience):
			require.Fail(t, "a slow client is still served", "%d", i)
		}
	}

	calls, failed := stop()
	assert.Zero(t, failed, "calls of a client that does nothing wrong")

	// All that were idle are still there.
	require.Equal(t, "<nil>", c.ask(t, "poke"))
	assert.Eventually(t, func() bool { return heard.Load() == 1000 }, apitest.Patience, 50*time.Millisecond, "%d heard", heard.Load())

	peak := c.megabytes(t, "peak")
	assert.Less(t, peak, float64(maxMegabytes))

	t.Logf("memory (heap and stacks): %.1f MB without clients, %.1f MB with 1,000 idle watchers, %.1f MB at the most; resident at the most %.1f MB; %s goroutines without clients; %d calls beside it, %d failed",
		before, idle, peak, c.resident(t), goroutines, calls, failed)

	assert.Equal(t, "clean", c.stop(t), "goroutines are left behind")
}

// oversized: what is too large is refused before it is read, with a word about it.
func oversized(t *testing.T, c *child) {
	t.Helper()

	guards := guardv1alpha1.NewGuardServiceClient(c.dial(t, "large"))
	large := string(bytes.Repeat([]byte("x"), limits.MaxRequest+1))

	_, err := guards.History(t.Context(), &guardv1alpha1.HistoryRequest{Target: large})
	assert.Equal(t, codes.ResourceExhausted, status.Code(err), "%v", err)

	_, err = guards.Doctor(metadata.AppendToOutgoingContext(t.Context(), "node", large), &guardv1alpha1.DoctorRequest{})
	assert.Equal(t, codes.InvalidArgument, status.Code(err), "%.100s", err)
	assert.Less(t, len(err.Error()), 200, "the name is not repeated")

	// A client of gRPC sends no more than the guard announces.
	_, err = guards.Doctor(metadata.AppendToOutgoingContext(t.Context(), "node", strings.Repeat(large, 9)), &guardv1alpha1.DoctorRequest{})
	assert.ErrorContains(t, err, "header list size to send violates the maximum size")
}

// TestStreams_BoundOneClient: what is too much is refused, and what it has goes on.
func TestStreams_BoundOneClient(t *testing.T) {
	g := apitest.New(t, apitest.Options{})
	cfg, err := g.PKI.ClientTLS("greedy", role.Reader)
	require.NoError(t, err)

	open := 0

	for range 2 { // connections
		conn, err := grpc.NewClient(g.Endpoint, grpc.WithTransportCredentials(credentials.NewTLS(cfg)))
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })

		for range limits.MaxStreams - 1 {
			stream, err := v1alpha1.NewStateClient(conn).Watch(t.Context(), watchRequest(resources.GuardConfigType), grpc.WaitForReady(true))
			require.NoError(t, err)

			if _, err := stream.Recv(); err == nil {
				open++
			} else {
				require.Equal(t, codes.ResourceExhausted, status.Code(err), "%v", err)
			}
		}
	}

	assert.Equal(t, limits.MaxStreamsPerClient, open)

	// Others are served.
	_, err = g.Client(t, role.Reader).Version(t.Context())
	require.NoError(t, err)
}

// TestConnections_RefuseTooMany: the ones that are there go on, and when some go, others come.
func TestConnections_RefuseTooMany(t *testing.T) {
	g := apitest.New(t, apitest.Options{})

	_, err := g.Client(t, role.Reader).Version(t.Context())
	require.NoError(t, err)

	var (
		clients []*badclient.Client
		cfg     *tls.Config
	)

	for i := range limits.MaxConnections - 1 {
		if i%limits.MaxConnectionsPerClient == 0 {
			cfg, err = g.PKI.ClientTLS(fmt.Sprintf("many-%d", i), role.Reader)
			require.NoError(t, err)
		}

		clients = append(clients, dialBad(t, g.Endpoint, cfg, 65535))
	}

	cfg, err = g.PKI.ClientTLS("more", role.Reader)
	require.NoError(t, err)

	refused, err := grpc.NewClient(g.Endpoint, grpc.WithTransportCredentials(credentials.NewTLS(cfg)))
	require.NoError(t, err)

	defer refused.Close()

	_, err = machine.NewMachineServiceClient(refused).Version(t.Context(), &emptypb.Empty{})
	assert.Equal(t, codes.Unavailable, status.Code(err), "%v", err)

	for _, client := range clients {
		require.NoError(t, client.Close())
	}

	_, err = machine.NewMachineServiceClient(refused).Version(t.Context(), &emptypb.Empty{}, grpc.WaitForReady(true))
	assert.NoError(t, err)

	assert.NotZero(t, g.Logs.FilterMessageSnippet("refused").Len())
}

// TestServerOptions_DisconnectPingFloods are a cheap way to keep a server busy.
func TestServerOptions_DisconnectPingFloods(t *testing.T) {
	g := apitest.New(t, apitest.Options{})

	_, err := g.Client(t, role.Reader).Version(t.Context())
	require.NoError(t, err)

	cfg, err := g.PKI.ClientTLS("pings", role.Reader)
	require.NoError(t, err)

	client := dialBad(t, g.Endpoint, cfg, 65535)
	client.Ping(100)

	select {
	case <-client.Ended():
	case <-time.After(apitest.Patience):
		require.Fail(t, "it goes on")
	}
}

// TestConnections_BoundOneClient: the others are served.
func TestConnections_BoundOneClient(t *testing.T) {
	g := apitest.New(t, apitest.Options{})

	_, err := g.Client(t, role.Reader).Version(t.Context())
	require.NoError(t, err)

	cfg, err := g.PKI.ClientTLS("greedy", role.Reader)
	require.NoError(t, err)

	var clients []*badclient.Client

	for range limits.MaxConnectionsPerClient {
		clients = append(clients, dialBad(t, g.Endpoint, cfg, 65535))
	}

	// One more is refused, with the handshake or right behind it.
	one := func() codes.Code {
		conn, err := grpc.NewClient(g.Endpoint, grpc.WithTransportCredentials(credentials.NewTLS(cfg)))
		require.NoError(t, err)

		defer conn.Close()

		_, err = machine.NewMachineServiceClient(conn).Version(t.Context(), &emptypb.Empty{})

		return status.Code(err)
	}

	// A handshake ends for the client before the server has counted its connection: the one that is refused may be one
	// of those above.
	require.Eventually(t, func() bool {
		if one() == codes.Unavailable {
			return true
		}

		clients = append(clients, dialBad(t, g.Endpoint, cfg, 65535))

		return false
	}, apitest.Patience, 50*time.Millisecond)

	_, err = g.Client(t, role.Reader).Version(t.Context())
	require.NoError(t, err)

	// When they are gone, another one is served.
	for _, client := range clients {
		client.Close()
	}

	assert.Eventually(t, func() bool { return one() == codes.OK }, apitest.Patience, 50*time.Millisecond)
}
