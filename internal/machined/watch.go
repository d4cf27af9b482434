// SPDX-License-Identifier: MPL-2.0

package machined

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/state"
	cosiclient "github.com/cosi-project/runtime/pkg/state/protobuf/client"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/metadata"

	"github.com/spegel-guard/spegel-guard/internal/talos"
)

// watchRetry is the default of Watch.Retry.
const watchRetry = 2 * time.Second

// Watch follows one COSI resource of machined.
type Watch struct {
	// Socket of machined.
	Socket string
	// Resource to follow, and its name in errors ("certificates").
	Resource resource.Metadata
	Name     string
	// Role of the client. A sensitive resource needs os:admin.
	Role role.Role
	// Retry is the delay after a loss. 0 means two seconds.
	Retry time.Duration

	// Changed receives each state of the resource, the first one as soon as machined answers.
	Changed func(resource.Resource)
	// Failed receives each loss of machined and each deletion of the resource.
	Failed func(error)
}

// Run follows the resource until the context ends. It reports a loss of machined to Failed and connects again.
func (w Watch) Run(ctx context.Context) error {
	retry := cmp.Or(w.Retry, watchRetry)

	conn, err := Dial(w.Socket, backoff.Config{BaseDelay: retry, Multiplier: 1, MaxDelay: retry})
	if err != nil {
		return err
	}

	defer conn.Close() //nolint:errcheck // nothing to flush

	// The library's own retry does not report the loss.
	st := state.WrapCore(cosiclient.NewAdapter(v1alpha1.NewStateClient(conn), cosiclient.WithDisableWatchRetry()))
	ctx = metadata.AppendToOutgoingContext(ctx, talos.RoleMetadataKey, string(w.Role))

	for {
		err := w.follow(ctx, st)
		if ctx.Err() != nil {
			return nil // the caller ended it
		}

		w.Failed(fmt.Errorf("failed to watch machined's %s at %s: %w", w.Name, w.Socket, err))

		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retry):
		}
	}
}

// follow passes events to Changed and Failed until machined is lost.
func (w Watch) follow(ctx context.Context, st state.State) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	events := make(chan state.Event)

	if err := st.Watch(ctx, w.Resource, events); err != nil {
		return err
	}

	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case event := <-events:
			switch event.Type {
			case state.Errored:
				return event.Error
			case state.Created, state.Updated:
				w.Changed(event.Resource)
			case state.Destroyed:
				w.Failed(fmt.Errorf("machined has no %s", w.Name))
			case state.Bootstrapped, state.Noop:
			}
		}
	}
}
