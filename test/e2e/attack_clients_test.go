// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cosi-project/runtime/api/v1alpha1"
	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/test/badclient"
	"github.com/spegel-guard/spegel-guard/test/node"
)

// clientScenarios are what clients with a certificate of the role os:reader do, or without any.
func clientScenarios() []scenario {
	return []scenario{
		{"invented namespaces", inventNamespaces},
		{"regular expressions", queryExpressions},
		{"health of names", watchHealth},
		{"withheld bytes", withholdBytes},
		{"idle watchers", watchIdly},
		{"slow watchers", watchSlowly},
		{"half-open connections", leaveHalfOpen},
		{"rapid reset", resetRapidly},
		{"bogus nodes", nameBogusNodes},
		{"idle scrapers", scrapeIdly},
	}
}

// hostileConn is a connection with a certificate of its own name, because the server counts clients by name. The guard has answered on
// it: beside a runaway a handshake may take longer than the guard allows, and the calls of the tests do not wait for the next one.
func (a *attack) hostileConn(t *testing.T, name string) *grpc.ClientConn {
	t.Helper()

	conn, err := grpc.NewClient(node.GuardEndpoint, grpc.WithTransportCredentials(credentials.NewTLS(a.tls(t, name))))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })

	client := machineapi.NewMachineServiceClient(conn)

	require.EventuallyWithT(t, func(c *assert.CollectT) {
		_, err := client.Version(t.Context(), &emptypb.Empty{}, grpc.WaitForReady(true))
		require.NoError(c, err)
	}, patience, 100*time.Millisecond, "connection of %s", name)

	return conn
}

func (a *attack) tls(t *testing.T, name string) *tls.Config {
	t.Helper()

	cfg, err := a.guard.PKI.ClientTLS(name, role.Reader)
	require.NoError(t, err)

	return cfg
}

// badClient is like hostileConn.
func (a *attack) badClient(t *testing.T, name string, window uint32) *badclient.Client {
	t.Helper()

	cfg := a.tls(t, name)

	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		client, err := dialAnswered(cfg, window)
		if err == nil {
			t.Cleanup(func() { client.Close() })

			return client
		}

		require.True(t, time.Now().Before(deadline), "connection of %s: %v", name, err)
	}
}

// dialAnswered connects and waits until the guard has answered a call. In TLS 1.3 a client may not notice at once that the guard has
// ended the handshake. The call is refused: an error needs no flow-control window.
func dialAnswered(cfg *tls.Config, window uint32) (*badclient.Client, error) {
	client, err := badclient.Dial(node.GuardEndpoint, cfg, window)
	if err != nil {
		return nil, err
	}

	_, err = client.Call("/cosi.resource.State/Get", &v1alpha1.GetRequest{Namespace: "invented", Type: resources.GuardStatusType, Id: "x"})

	for deadline := time.Now().Add(patience); err == nil && client.Answers() == 0; {
		select {
		case err = <-client.Ended():
		case <-time.After(10 * time.Millisecond):
			if time.Now().After(deadline) {
				err = fmt.Errorf("no answer within %s", patience)
			}
		}
	}

	if err != nil {
		return nil, errors.Join(err, client.Close())
	}

	return client, nil
}

// refused calls do many times, some at once, and requires that all calls are refused with the texts in turn.
func refused(t *testing.T, times, atOnce int, texts []string, do func(ctx context.Context, i int) error) {
	t.Helper()

	var group errgroup.Group

	group.SetLimit(atOnce)

	for i := range times {
		group.Go(func() error {
			if err, text := do(t.Context(), i), texts[i%len(texts)]; err == nil || !strings.Contains(err.Error(), text) {
				return fmt.Errorf("call %d is not refused with %q: %w", i, text, err)
			}

			return nil
		})
	}

	require.NoError(t, group.Wait())
}

// tooLarge is the text of gRPC's error for a request above the limit of its size.
const tooLarge = "received message larger than max"

func inventNamespaces(t *testing.T, a *attack) {
	client := v1alpha1.NewStateClient(a.hostileConn(t, "namespaces"))

	refused(t, many(10_000), 16, []string{"the guard has no resources of type"}, func(ctx context.Context, i int) error {
		_, err := client.Get(ctx, &v1alpha1.GetRequest{Namespace: fmt.Sprintf("invented-%d", i), Type: resources.GuardStatusType, Id: "x"})

		return err
	})
}

func queryExpressions(t *testing.T, a *attack) {
	client := v1alpha1.NewStateClient(a.hostileConn(t, "expressions"))
	// 21 kB would take half a gigabyte when they are compiled; 7 kB fit the limit of a request.
	expressions := []string{strings.Repeat("x{1000}", 3000), strings.Repeat("x{1000}", 1000)}

	refused(t, many(160), 16, []string{tooLarge, "regular expressions are not served"}, func(ctx context.Context, i int) error {
		stream, err := client.List(ctx, &v1alpha1.ListRequest{
			Namespace: resources.Namespace, Type: resources.GuardStatusType,
			Options: &v1alpha1.ListOptions{IdQuery: &v1alpha1.IDQuery{Regexp: expressions[i%2]}},
		})
		if err != nil {
			return err
		}

		_, err = stream.Recv()

		return err
	})
}

func watchHealth(t *testing.T, a *attack) {
	client := grpc_health_v1.NewHealthClient(a.hostileConn(t, "health"))
	names := []string{strings.Repeat("x", 60_000), strings.Repeat("x", 8000)}

	refused(t, many(2000), 16, []string{tooLarge, "invalid service"}, func(ctx context.Context, i int) error {
		stream, err := client.Watch(ctx, &grpc_health_v1.HealthCheckRequest{Service: names[i%2][i%100:]})
		if err != nil {
			return err
		}

		_, err = stream.Recv()

		return err
	})
}

// withholdBytes of messages too large, and as large as they may be, with fifteen certificates.
func withholdBytes(t *testing.T, a *attack) {
	for i := range many(15) {
		for _, size := range []int{64 << 10, 8 << 10} {
			client := a.badClient(t, fmt.Sprintf("withholding-%d-%d", i, size), 65535)

			for range 100 {
				if client.Withhold("/cosi.resource.State/Get", size) != nil {
					break // the server has closed the connection
				}
			}
		}
	}

	time.Sleep(2 * attackInterval)
}

// watchIdly opens streams of a resource that does not change.
func watchIdly(t *testing.T, a *attack) {
	var conn *grpc.ClientConn

	for i := range many(1000) {
		if i%100 == 0 {
			conn = a.hostileConn(t, fmt.Sprintf("idle-%d", i))
		}

		stream, err := v1alpha1.NewStateClient(conn).Watch(t.Context(), watchRequest(resources.GuardConfigType))
		require.NoError(t, err)

		_, err = stream.Recv()
		require.NoError(t, err, "watcher %d", i)
	}

	time.Sleep(2 * attackInterval)
}

// watchSlowly opens streams and reads nothing: with an empty flow-control window all data stays in the guard.
func watchSlowly(t *testing.T, a *attack) {
	for i := range max(1, many(1000)/100) {
		client := a.badClient(t, fmt.Sprintf("slow-%d", i), 0)

		for range 100 {
			_, err := client.Call("/cosi.resource.State/Watch", watchRequest(resources.TargetStatsType))
			require.NoError(t, err)
		}
	}

	time.Sleep(5 * attackInterval)
}

func leaveHalfOpen(t *testing.T, _ *attack) {
	var flood errgroup.Group

	flood.SetLimit(200) // more would wait in the kernel's queue

	for i := range many(1000) {
		flood.Go(func() error {
			return badclient.HalfOpen(fmt.Sprintf("127.0.0.%d", 60+i%3), node.GuardEndpoint, patience)
		})
	}

	require.NoError(t, flood.Wait())
}

func resetRapidly(t *testing.T, a *attack) {
	opened := a.badClient(t, "rapid", 65535).RapidReset("/cosi.resource.State/Watch", many(50_000))
	assert.Positive(t, opened, "streams before the guard closed the connection")
	a.badClient(t, "pings", 65535).Ping(many(50_000))
}

// nameBogusNodes names nodes that do not exist, for which a guard would dial if it forwarded requests.
func nameBogusNodes(t *testing.T, a *attack) {
	client := v1alpha1.NewStateClient(a.hostileConn(t, "bogus"))

	var nodes []string

	for i := range 1000 {
		nodes = append(nodes, fmt.Sprintf("192.0.2.%d:%d", i%250, i))
	}

	for i := range many(10) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		request := &v1alpha1.GetRequest{Namespace: resources.Namespace, Type: resources.GuardStatusType, Id: resources.GuardStatusID}

		_, err := client.Get(metadata.NewOutgoingContext(ctx, metadata.MD{"nodes": nodes[i:]}), request)
		assert.ErrorContains(t, err, "invalid metadata: nodes has")

		_, err = client.Get(metadata.AppendToOutgoingContext(ctx, "node", nodes[i]), request)
		assert.ErrorContains(t, err, "forwards no request")

		cancel()
	}
}

// scrapeIdly keeps connections to the metrics open from one address; Prometheus comes from another.
func scrapeIdly(t *testing.T, a *attack) {
	transport := &http.Transport{
		MaxIdleConnsPerHost: 1000,
		DialContext:         (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 70)}}).DialContext,
	}
	t.Cleanup(transport.CloseIdleConnections)

	var conns []net.Conn

	for range many(200) {
		conn, err := transport.DialContext(t.Context(), "tcp", metricsAddress)
		if err != nil {
			break // refused
		}

		conns = append(conns, conn)
		fmt.Fprintf(conn, "GET /metrics HTTP/1.1\r\nHost: guard\r\n\r\n")
	}

	response, err := (&http.Client{Timeout: patience}).Get("http://" + metricsAddress + "/metrics")
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, response.StatusCode)
	require.NoError(t, response.Body.Close())

	for _, conn := range conns {
		conn.Close()
	}
}

func watchRequest(kind string) *v1alpha1.WatchRequest {
	return &v1alpha1.WatchRequest{Namespace: resources.Namespace, Type: kind, ApiVersion: 1}
}
