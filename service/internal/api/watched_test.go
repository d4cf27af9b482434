// SPDX-License-Identifier: MPL-2.0

//go:build linux

package api_test

import (
	"testing"

	"github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/siderolabs/talos/pkg/machinery/client"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// watched is an open stream.
type watched struct {
	events chan *v1alpha1.WatchResponse
	ended  chan error
}

// watch opens a stream and waits until it is there. It is a bare one: COSI's client would open it again.
func watch(t *testing.T, c *client.Client) watched {
	t.Helper()

	w := watched{events: make(chan *v1alpha1.WatchResponse, 10), ended: make(chan error, 1)}
	metadata := resources.NewGuardStatus("").Metadata()

	stream, err := v1alpha1.NewStateClient(c.Conn()).Watch(t.Context(), &v1alpha1.WatchRequest{
		Namespace: metadata.Namespace(), Type: metadata.Type(), ApiVersion: 1,
	})
	require.NoError(t, err)

	_, err = stream.Recv()
	require.NoError(t, err, "the first one says that the stream is there")

	go func() {
		defer c.Close()

		for {
			event, err := stream.Recv()
			if err != nil {
				w.ended <- err

				return
			}

			w.events <- event
		}
	}()

	return w
}

// poke changes what is watched.
func poke(t *testing.T, g *guard) {
	t.Helper()

	_, err := safe.StateUpdateWithConflicts(t.Context(), g.state, resources.NewGuardStatus(resources.GuardStatusID).Metadata(), func(r *resources.GuardStatus) error {
		r.TypedSpec().Targets++

		return nil
	})
	require.NoError(t, err)
}
