// SPDX-License-Identifier: MPL-2.0

package client_test

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/test/pki"
)

// TestNode_FailureHasCause makes every error with real connections: the causes are found in the texts of Go and gRPC.
func TestNode_FailureHasCause(t *testing.T) {
	own, hosts, port, _ := serve(t)

	other, err := pki.New()
	require.NoError(t, err)

	foreign, err := other.Client("anna", time.Hour, role.Admin)
	require.NoError(t, err)

	untrusting := *own
	untrusting.CA = pki.Context(foreign, "", other).CA

	untrusted := pki.Context(foreign, "", other)
	untrusted.CA = own.CA

	plain := grpc.NewServer(grpc.Creds(insecure.NewCredentials()))
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)

	go plain.Serve(listener)

	t.Cleanup(plain.Stop)

	silent, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { silent.Close() })

	guard := net.JoinHostPort(hosts[0], port)

	for name, test := range map[string]struct {
		context *clientconfig.Context
		node    string
		want    error
	}{
		"refused":            {own, "127.0.0.1:1", client.ErrRefused},
		"silent":             {own, silent.Addr().String(), client.ErrNoAnswer},
		"unknown name":       {own, "nowhere.invalid", client.ErrUnknownName},
		"server not trusted": {&untrusting, guard, client.ErrServerNotTrusted},
		"client not trusted": {untrusted, guard, client.ErrClientNotTrusted},
		"no guard":           {own, listener.Addr().String(), client.ErrNoGuard},
	} {
		t.Run(name, func(t *testing.T) {
			// Only one node lets the time pass.
			connect := time.Minute
			if errors.Is(test.want, client.ErrNoAnswer) {
				connect = time.Second
			}

			f, err := client.OpenContext(test.context, client.Options{
				Nodes: []string{test.node}, Timeout: time.Minute,
				DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: connect})},
			})
			require.NoError(t, err)

			defer f.Close()

			for result := range client.Ask(t.Context(), f, (*client.Node).Version) {
				require.ErrorIs(t, result.Err, test.want)
				assert.True(t, client.IsUnreachableError(result.Err))
				assert.NotContains(t, result.Err.Error(), "desc =")
			}
		})
	}
}

func TestOpenContext_RefusesTalosPort(t *testing.T) {
	own, _, _, _ := serve(t)

	for _, options := range []client.Options{
		{Nodes: []string{"a:50000"}}, {Nodes: []string{"a"}, Endpoints: []string{"https://[fd00::1]:50000"}},
	} {
		_, err := client.OpenContext(own, options)
		require.ErrorIs(t, err, client.ErrTalosPort)
	}
}

// TestNode_FailureOfGuardHasNoCause: what a guard says of its own connections is not about the client's.
func TestNode_FailureOfGuardHasNoCause(t *testing.T) {
	own, hosts, port, _ := serve(t)

	f, err := client.OpenContext(own, client.Options{Nodes: []string{net.JoinHostPort(hosts[0], port)}})
	require.NoError(t, err)

	defer f.Close()

	failure := f.Nodes()[0].Failure(status.Error(codes.Unavailable, "failed to read the metrics: dial tcp 10.0.0.1:9090: connect: connection refused"))
	require.NoError(t, failure.Cause)
	assert.EqualError(t, failure, hosts[0]+":"+port+": Unavailable: failed to read the metrics: dial tcp 10.0.0.1:9090: connect: connection refused")
}

// TestNodeError_IsClipped: a node decides what its errors contain, and a command writes them on a terminal.
func TestNodeError_IsClipped(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	node := &client.Node{Name: "n"}

	for name, err := range map[string]*client.NodeError{
		"status":   node.Failure(status.Error(codes.Internal, long)),
		"deadline": node.Failure(status.Error(codes.DeadlineExceeded, long)),
		"other":    node.Failure(errors.New(long)),
		"own":      {Node: "n", Err: errors.New(long)},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Less(t, len(err.Error()), 5000)
			assert.Less(t, len(err.Common()), 5000)
			assert.Contains(t, err.Error(), "xxx...")
		})
	}
}
