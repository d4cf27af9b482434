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

// errSkipVerify: in maintenance mode, without a machine configuration, apid accepts every client. Extensions run
// there, too. The guard waits for certificates instead.
var errSkipVerify = errors.New("error taking machined's certificates: the node is in maintenance mode, in which apid accepts clients " +
	"without a certificate; the guard does not, and serves TCP once the node has a machine configuration")

// Run puts machined's identity in force whenever it changes, until the context ends. While machined is away,
// or has none that is of use, the last good one stays in force. report is told of each new identity, with
// nil, and of each new error.
func (t Talos) Run(ctx context.Context, store *Store, report func(error)) error {
	keeper := &keeper{store: store, report: report}

	return machined.Watch{
		Socket: t.Socket, Retry: t.Retry, Name: "certificates", Role: role.Admin, Resource: *secrets.NewAPI().Metadata(),
		Changed: func(r resource.Resource) {
			api, ok := r.(*secrets.API)
			if !ok {
				keeper.fail(fmt.Errorf("error reading machined's certificates: unexpected type %T", r))

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
