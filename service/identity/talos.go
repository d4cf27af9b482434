package identity

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	cosiclient "github.com/cosi-project/runtime/pkg/state/protobuf/client"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/resources/secrets"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/metadata"

	"github.com/spegel-guard/spegel-guard/pkg/machined"
)

// talosRetry is how long after a loss machined is asked again.
const talosRetry = 2 * time.Second

// Talos is the node's own: what apid shows and accepts, from machined (secrets.API).
//
// Workers have no client certificate; on control planes it is the one with which apid forwards requests to
// other nodes (os:impersonator).
type Talos struct {
	// Socket of machined. It has no TLS: it knows its clients by their process, and takes their roles from
	// the request's metadata. The resource is sensitive, which takes os:admin.
	Socket string
	// Retry after a loss; 0 is the usual time.
	Retry time.Duration
}

// errSkipVerify: only a node without a machine configuration accepts everyone, and it runs no extensions.
var errSkipVerify = errors.New("error taking machined's certificates: the node is in maintenance mode, in which apid accepts clients without a certificate; the guard does not")

// Run puts machined's identity in force whenever it changes, until the context ends. While machined is away,
// or has none that is of use, the last good one stays in force. report is told of each new identity, with
// nil, and of each new error.
func (t Talos) Run(ctx context.Context, store *Store, report func(error)) error {
	retry := cmp.Or(t.Retry, talosRetry)

	conn, err := machined.Dial(t.Socket, backoff.Config{BaseDelay: retry, Multiplier: 1, MaxDelay: retry})
	if err != nil {
		return err
	}

	defer conn.Close() //nolint:errcheck // nothing to flush

	// A loss is to be noticed and said, so the library does not hide it.
	talosState := state.WrapCore(cosiclient.NewAdapter(v1alpha1.NewStateClient(conn), cosiclient.WithDisableWatchRetry()))
	ctx = metadata.AppendToOutgoingContext(ctx, constants.APIAuthzRoleMetadataKey, string(role.Admin))
	keeper := &keeper{store: store, report: report}

	for {
		err := t.watch(ctx, talosState, keeper)
		if ctx.Err() != nil {
			return nil // it was told to end
		}

		keeper.fail(err)

		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retry):
		}
	}
}

// watch follows the resource until machined is lost.
func (t Talos) watch(ctx context.Context, st state.State, keeper *keeper) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	events := make(chan safe.WrappedStateEvent[*secrets.API])

	if err := safe.StateWatch(ctx, st, secrets.NewAPI().Metadata(), events); err != nil {
		return fmt.Errorf("error watching machined's certificates at %s: %w", t.Socket, err)
	}

	for {
		var event safe.WrappedStateEvent[*secrets.API]

		select {
		case <-ctx.Done():
			return ctx.Err()
		case event = <-events:
		}

		switch event.Type() {
		case state.Errored:
			return fmt.Errorf("error watching machined's certificates at %s: %w", t.Socket, event.Error())
		case state.Bootstrapped, state.Noop:
			continue
		case state.Destroyed:
			// None yet, or not any more: machined is about to make one.
			keeper.fail(errors.New("machined has no certificates now"))

			continue
		case state.Created, state.Updated:
		}

		resource, err := event.Resource()
		if err != nil {
			return fmt.Errorf("error reading machined's certificates: %w", err)
		}

		if material, err := fromTalos(resource.TypedSpec()); err != nil {
			keeper.fail(err)
		} else {
			keeper.take(material)
		}
	}
}

func fromTalos(spec *secrets.APICertsSpec) (Material, error) {
	if spec.SkipVerifyingClientCert {
		return Material{}, errSkipVerify
	}

	if spec.Server == nil {
		return Material{}, errors.New("machined has no server certificate yet")
	}

	material := Material{Server: *spec.Server, Client: spec.Client}

	for _, ca := range spec.AcceptedCAs {
		if ca != nil {
			material.CAs = append(material.CAs, ca.Crt)
		}
	}

	return material, nil
}
