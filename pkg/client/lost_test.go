// SPDX-License-Identifier: MPL-2.0

package client_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
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

// versions responds to requests for the version.
type versions struct {
	machine.UnimplementedMachineServiceServer
}

func (versions) Version(context.Context, *emptypb.Empty) (*machine.VersionResponse, error) {
	return &machine.VersionResponse{Messages: []*machine.Version{{}}}, nil
}

// TestAsk_LostNodesYieldTheirTurn: nodes that were reached once, and whose connections have ended, delay the others as little as nodes that
// were never reached.
func TestAsk_LostNodesYieldTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lost, alive = 256, 10

		authority, err := pki.New()
		require.NoError(t, err)

		server, err := authority.Server("node")
		require.NoError(t, err)

		certificate, err := tls.X509KeyPair(server.Crt, server.Key)
		require.NoError(t, err)

		pair, err := authority.Client("anna", time.Hour, role.Reader)
		require.NoError(t, err)

		guard := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13})))
		machine.RegisterMachineServiceServer(guard, versions{})

		listener := bufconn.Listen(1 << 16)

		go guard.Serve(listener) //nolint:errcheck // ends with the test

		defer guard.Stop()

		current := pki.Context(pair, "", authority)

		for i := range lost + alive {
			current.Nodes = append(current.Nodes, fmt.Sprintf("node-%d", i))
		}

		var (
			mu    sync.Mutex
			down  bool
			conns []net.Conn
		)

		dial := func(ctx context.Context, address string) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()

			if down && slices.Index(current.Nodes, strings.TrimSuffix(address, ":50321")) < lost {
				mu.Unlock()
				<-ctx.Done()
				mu.Lock()

				return nil, ctx.Err()
			}

			conn, err := listener.DialContext(ctx)
			conns = append(conns, conn)

			return conn, err
		}

		fleet, err := client.OpenContext(current, client.Options{
			Timeout: 10 * time.Second, DialOptions: []grpc.DialOption{grpc.WithAuthority("node"), grpc.WithContextDialer(dial)},
		})
		require.NoError(t, err)

		defer fleet.Close() //nolint:errcheck // ends with the test

		for result := range client.Ask(t.Context(), fleet, (*client.Node).Version) {
			require.NoError(t, result.Err)
		}

		mu.Lock()

		down = true

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
