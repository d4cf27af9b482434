// SPDX-License-Identifier: MPL-2.0

package client_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/test/pki"
)

// versions responds to requests for the version, after a time.
type versions struct {
	machine.UnimplementedMachineServiceServer

	after time.Duration
}

func (v versions) Version(ctx context.Context, _ *emptypb.Empty) (*machine.VersionResponse, error) {
	select {
	case <-ctx.Done():
	case <-time.After(v.after):
	}

	return &machine.VersionResponse{Messages: []*machine.Version{{}}}, nil
}

// serveVersions returns a fleet whose nodes are all one server in this process; dial replaces its listener's connections.
func serveVersions(t *testing.T, nodes int, timeout, after time.Duration, dial func(ctx context.Context, address string, dial dialer) (net.Conn, error)) *client.Fleet {
	t.Helper()

	return serveBy(t, nodes, timeout, dial, func(guard *grpc.Server) { machine.RegisterMachineServiceServer(guard, versions{after: after}) })
}

// serveBy returns a fleet whose nodes are all one server with some services.
func serveBy(
	t *testing.T, nodes int, timeout time.Duration, dial func(ctx context.Context, address string, dial dialer) (net.Conn, error), register func(*grpc.Server),
) *client.Fleet {
	t.Helper()

	authority, err := pki.New()
	require.NoError(t, err)

	server, err := authority.Server("node")
	require.NoError(t, err)

	certificate, err := tls.X509KeyPair(server.Crt, server.Key)
	require.NoError(t, err)

	pair, err := authority.Client("anna", time.Hour, role.Reader)
	require.NoError(t, err)

	guard := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13})))
	register(guard)

	listener := bufconn.Listen(1 << 16)

	go guard.Serve(listener)

	t.Cleanup(guard.Stop)

	current := pki.Context(pair, "", authority)

	for i := range nodes {
		current.Nodes = append(current.Nodes, fmt.Sprintf("node-%d", i))
	}

	fleet, err := client.OpenContext(current, client.Options{
		Timeout: timeout, DialOptions: []grpc.DialOption{
			grpc.WithAuthority("node"),
			grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
				return dial(ctx, address, listener.DialContext)
			}),
		},
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, fleet.Close()) })

	return fleet
}

// dialer connects to the server.
type dialer func(context.Context) (net.Conn, error)

// silent is a connection of which no packet arrives any more.
type silent struct {
	net.Conn

	lost   atomic.Bool
	closed chan struct{}
	close  sync.Once
}

func (s *silent) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if s.lost.Load() {
		<-s.closed

		return 0, net.ErrClosed
	}

	return n, err
}

func (s *silent) Write(p []byte) (int, error) {
	if s.lost.Load() {
		return len(p), nil
	}

	return s.Conn.Write(p)
}

func (s *silent) Close() error {
	s.close.Do(func() { close(s.closed) })

	return s.Conn.Close()
}

// TestNode_FailureOfLostNodeHasCause: a node that was reached, and is lost while a request waits for its response.
func TestNode_FailureOfLostNodeHasCause(t *testing.T) {
	for _, test := range []struct {
		name string
		lose func(*silent)
		want error
		text string
	}{
		{"connection ends", func(s *silent) { s.Conn.Close() }, client.ErrConnectionLost, "node-0: the connection to node-0:50321 was lost before the response"},
		{"no packets", func(s *silent) { s.lost.Store(true) }, client.ErrNoAnswer, "node-0: no answer from node-0:50321: is the node up"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fleet := serveVersions(t, 1, 2*time.Minute, time.Hour, func(ctx context.Context, _ string, dial dialer) (net.Conn, error) {
					conn, err := dial(ctx)
					lost := &silent{Conn: conn, closed: make(chan struct{})}

					time.AfterFunc(time.Second, func() { test.lose(lost) })

					return lost, err
				})

				for result := range client.Ask(t.Context(), fleet, (*client.Node).Version) {
					require.ErrorIs(t, result.Err, test.want)
					assert.ErrorContains(t, result.Err, test.text)
					assert.True(t, client.IsUnreachableError(result.Err))
				}
			})
		})
	}
}

// TestAsk_LostNodesYieldTheirTurn: nodes that were reached once, and whose connections have ended, delay the others as little as nodes that
// were never reached.
func TestAsk_LostNodesYieldTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lost, alive = 256, 10

		var (
			mu    sync.Mutex
			conns []net.Conn
			// gone are the addresses that accept no connection any more.
			gone = map[string]bool{}
		)

		fleet := serveVersions(t, lost+alive, 10*time.Second, 0, func(ctx context.Context, address string, dial dialer) (net.Conn, error) {
			mu.Lock()
			refused := gone[address]
			mu.Unlock()

			if refused {
				<-ctx.Done()

				return nil, ctx.Err()
			}

			conn, err := dial(ctx)

			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()

			return conn, err
		})

		for result := range client.Ask(t.Context(), fleet, (*client.Node).Version) {
			require.NoError(t, result.Err)
		}

		mu.Lock()

		for _, node := range fleet.Nodes()[:lost] {
			gone[node.Name+":50321"] = true
		}

		for _, conn := range conns {
			require.NoError(t, conn.Close())
		}

		mu.Unlock()
		synctest.Wait()

		start, failed := time.Now(), 0

		var last time.Duration

		for result := range client.Ask(t.Context(), fleet, (*client.Node).Version) {
			if result.Err != nil {
				failed++

				assert.ErrorIs(t, result.Err, client.ErrNoAnswer)

				continue
			}

			last = time.Since(start)
		}

		assert.Equal(t, lost, failed)
		assert.LessOrEqual(t, last, time.Second)
	})
}
