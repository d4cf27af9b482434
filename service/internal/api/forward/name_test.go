// SPDX-License-Identifier: MPL-2.0

//go:build linux

package forward_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/client"
	"github.com/siderolabs/talos/pkg/machinery/resources/network"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
	"github.com/spegel-guard/spegel-guard/service/internal/api/apitest"
	"github.com/spegel-guard/spegel-guard/service/internal/identity"
	"github.com/spegel-guard/spegel-guard/test/machined"
)

// TestServe_FollowsTheHostname renames the node while the API serves: answers name the new hostname, requests for
// it are served here, and requests for the old one are not.
func TestServe_FollowsTheHostname(t *testing.T) {
	m, err := machined.New(t.Context(), filepath.Join(t.TempDir(), "machine.sock"), &network.HostnameStatus{})
	require.NoError(t, err)

	m.Services = machined.ThisProcess
	require.NoError(t, m.Start())
	t.Cleanup(m.Stop)

	hostname := network.NewHostnameStatus(network.NamespaceName, network.HostnameID)
	hostname.TypedSpec().Hostname, hostname.TypedSpec().Domainname = "before", "cluster.invalid"
	require.NoError(t, m.State.Create(t.Context(), hostname))

	name := &identity.NodeName{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)

	go func() { done <- name.Run(ctx, m.Socket, 20*time.Millisecond, zap.NewNop()) }()

	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-done)
	})

	c := apitest.New(t, apitest.Options{Name: name}).Client(t, role.Operator)
	guards := guardv1alpha1.NewGuardServiceClient(c.Conn())

	becomes := func(want, old string) {
		require.Eventually(t, func() bool { return name.String() == want }, time.Minute, 5*time.Millisecond)

		for _, own := range []string{want, want + ".cluster.invalid"} {
			assert.Equal(t, resources.StateThrottled, apitest.StateOf(client.WithNode(t.Context(), own), t, c), own)
		}

		_, err := guards.History(client.WithNode(t.Context(), old), &guardv1alpha1.HistoryRequest{})
		assert.Equal(t, codes.PermissionDenied, status.Code(err), "%s is another node, and forwarding is off: %v", old, err)

		version, err := c.Version(t.Context())
		require.NoError(t, err)
		assert.Equal(t, want, version.GetMessages()[0].GetMetadata().GetHostname())

		answer, err := guards.History(t.Context(), &guardv1alpha1.HistoryRequest{})
		require.NoError(t, err)
		assert.Equal(t, want, answer.GetMessages()[0].GetMetadata().GetHostname())

		paused, err := guards.Pause(t.Context(), &guardv1alpha1.PauseRequest{For: durationpb.New(time.Minute), Reason: "test"})
		require.NoError(t, err)
		assert.Equal(t, want, paused.GetMessages()[0].GetMetadata().GetHostname())
	}

	becomes("before", "after")

	hostname.TypedSpec().Hostname = "after"
	require.NoError(t, m.State.Update(t.Context(), hostname))
	becomes("after", "before")
}
