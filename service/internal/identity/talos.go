// SPDX-License-Identifier: MPL-2.0

package identity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/siderolabs/talos/pkg/machinery/resources/secrets"
	"github.com/siderolabs/talos/pkg/machinery/role"

	"github.com/spegel-guard/spegel-guard/internal/machined"
)

// Talos follows the certificates and authorities of apid in machined (secrets.API).
//
// Workers have no client certificate. That of control planes is the one that apid forwards requests to other nodes with
// (os:impersonator).
type Talos struct {
	// Socket of machined. It has no TLS: machined identifies clients by their process and takes their roles from the
	// metadata of the request. The resource is sensitive and requires os:admin.
	Socket string
	// Retry is the time until the next attempt after a failure; 0 is two seconds.
	Retry time.Duration
}

// errSkipVerify means maintenance mode, in which apid accepts every client. The guard waits for certificates. On Talos its service
// waits for the CRI, which does not run in this mode.
var errSkipVerify = errors.New("failed to use machined's certificates: the node is in maintenance mode, in which apid accepts clients " +
	"without a certificate; the guard serves TCP once the node has a machine configuration")

// Run stores the identity of machined whenever it changes, until the context ends. The last valid identity stays in force
// while machined is unreachable or has no valid one. report is called with nil for each new identity, and with each new
// error.
func (t Talos) Run(ctx context.Context, store *Store, report func(error)) error {
	keeper := &keeper{store: store, report: report}

	return machined.Watch{
		Socket: t.Socket, Retry: t.Retry, Name: "certificates", Role: role.Admin, Resource: *secrets.NewAPI().Metadata(),
		Changed: func(r resource.Resource) {
			api, ok := r.(*secrets.API)
			if !ok {
				keeper.fail(fmt.Errorf("failed to read machined's certificates: unexpected type %T", r))

				return
			}

			if material, err := fromTalos(api.TypedSpec()); err != nil {
				keeper.fail(err)
			} else {
				keeper.take(material)
			}
		},
		Failed: keeper.fail,
	}.Run(ctx)
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
