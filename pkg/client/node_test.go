// SPDX-License-Identifier: MPL-2.0

package client

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/impl/inmem"
	"github.com/cosi-project/runtime/pkg/state/impl/namespaced"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

// checking is a guard that sends a number of empty checks.
type checking struct {
	guardv1alpha1.UnimplementedGuardServiceServer

	checks int
}

func (c checking) Doctor(context.Context, *guardv1alpha1.DoctorRequest) (*guardv1alpha1.DoctorResponse, error) {
	checkup := &guardv1alpha1.Checkup{Checks: make([]*guardv1alpha1.Check, c.checks)}
	for i := range checkup.GetChecks() {
		checkup.Checks[i] = &guardv1alpha1.Check{}
	}

	return &guardv1alpha1.DoctorResponse{Messages: []*guardv1alpha1.Checkup{checkup}}, nil
}

// TestNode_DoctorIsBounded: an empty check has two bytes on the wire, and a hundred times as many in memory.
func TestNode_DoctorIsBounded(t *testing.T) {
	for name, test := range map[string]struct {
		checks int
		want   codes.Code
	}{
		"usual":    {30, codes.OK},
		"some":     {maxSmallElements - 1, codes.OK},
		"many":     {maxSmallElements, codes.Internal},
		"too long": {200_000, codes.ResourceExhausted},
	} {
		t.Run(name, func(t *testing.T) {
			node := nodeOf(t, func(server *grpc.Server) {
				guardv1alpha1.RegisterGuardServiceServer(server, checking{checks: test.checks})
			})

			_, err := node.Doctor(t.Context())
			assert.Equal(t, test.want, status.Code(err), err)
		})
	}
}

// nodeOf returns a node whose guard is the server, until the test ends.
func nodeOf(t *testing.T, register func(*grpc.Server)) *Node {
	t.Helper()

	listener := bufconn.Listen(1 << 16)
	server := grpc.NewServer()
	register(server)

	go server.Serve(listener)
	t.Cleanup(server.Stop)

	conn, err := grpc.NewClient("passthrough:///guard", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })

	return newNode("n", conn, origin{}, 0)
}

// unopened begins no watch.
type unopened struct {
	v1alpha1.UnimplementedStateServer
}

func (unopened) Watch(_ *v1alpha1.WatchRequest, stream grpc.ServerStreamingServer[v1alpha1.WatchResponse]) error {
	<-stream.Context().Done()

	return nil
}

// TestNode_WatchHasToBegin: many share a connection, so a short time for responses is none for them.
func TestNode_WatchHasToBegin(t *testing.T) {
	node := nodeOf(t, func(server *grpc.Server) { v1alpha1.RegisterStateServer(server, unopened{}) })
	require.Equal(t, DefaultTimeout, node.opening)
	require.Equal(t, time.Minute, newNode("n", nil, origin{}, time.Minute).opening)

	node.opening = 100 * time.Millisecond

	_, err := node.Watch(t.Context(), resources.TargetStatsType)
	require.ErrorContains(t, err, "the watch did not begin within 100ms; follow at most 100 nodes through one endpoint")
}

// TestNode_ConfigIsBounded: an empty value has two bytes on the wire.
func TestNode_ConfigIsBounded(t *testing.T) {
	for name, test := range map[string]struct {
		settings int
		ok       bool
	}{
		"usual": {maxSettings, true},
		"many":  {maxSettings + 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			st := state.WrapCore(namespaced.NewState(inmem.Build))
			active := resources.NewGuardConfig(resources.GuardConfigID)
			active.TypedSpec().Settings = make([]resources.ConfigSetting, test.settings)
			require.NoError(t, st.Create(t.Context(), active))

			_, err := (&Node{Resources: st}).Config(t.Context())
			if test.ok {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, "must be at most 4096")
			}
		})
	}
}
