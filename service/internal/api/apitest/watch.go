// SPDX-License-Identifier: MPL-2.0

//go:build linux

package apitest

import (
	"context"
	"testing"
	"time"

	"github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/client"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// Watched is an open stream.
type Watched struct {
	Events chan *v1alpha1.WatchResponse
	Ended  chan error
}

// Watch opens a stream of the guard's status and waits until it is open. COSI's client would open it again after an
// error, which this does not.
func Watch(t *testing.T, c *client.Client) Watched {
	t.Helper()

	w := Watched{Events: make(chan *v1alpha1.WatchResponse, 10), Ended: make(chan error, 1)}
	metadata := resources.NewGuardStatus("").Metadata()

	stream, err := v1alpha1.NewStateClient(c.Conn()).Watch(t.Context(), &v1alpha1.WatchRequest{
		Namespace: metadata.Namespace(), Type: metadata.Type(), ApiVersion: 1,
	})
	require.NoError(t, err)

	_, err = stream.Recv()
	require.NoError(t, err, "the first message comes when the stream is open")

	go func() {
		defer c.Close() //nolint:errcheck // the stream ended

		for {
			event, err := stream.Recv()
			if err != nil {
				w.Ended <- err

				return
			}

			w.Events <- event
		}
	}()

	return w
}

// Poke changes the guard's status.
func Poke(t *testing.T, g *Guard) {
	t.Helper()

	_, err := safe.StateUpdateWithConflicts(t.Context(), g.State, resources.NewGuardStatus(resources.GuardStatusID).Metadata(), func(r *resources.GuardStatus) error {
		r.TypedSpec().Targets++

		return nil
	})
	require.NoError(t, err)
}

// Next returns the next event of a watch.
func Next(t *testing.T, events <-chan state.Event) state.Event {
	t.Helper()

	select {
	case event := <-events:
		require.NoError(t, event.Error)

		return event
	case <-time.After(Patience):
		require.Fail(t, "no event")

		return state.Event{}
	}
}

// StateOf reads the guard's state.
func StateOf(ctx context.Context, t *testing.T, c *client.Client) string {
	t.Helper()

	status, err := safe.StateGetByID[*resources.GuardStatus](ctx, c.COSI, resources.GuardStatusID)
	require.NoError(t, err)

	return status.TypedSpec().State
}
