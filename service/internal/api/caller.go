// SPDX-License-Identifier: MPL-2.0

//go:build linux

package api

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/identity"
)

// Metadata with which a guard tells the next one for whom it forwards a request. It counts from
// impersonators alone, as Talos' roles do.
const (
	subjectKey     = "spegel-guard-subject-bin" // of any characters
	fingerprintKey = "spegel-guard-fingerprint"
	fromKey        = "spegel-guard-from"
)

// caller is who makes a request.
type caller struct {
	person resources.Person
	roles  role.Set
	// forwarded tells that another guard makes the request for somebody.
	forwarded bool
}

// key tells callers apart for their limits.
func (c caller) key() string { return c.person.Subject + " " + c.person.Fingerprint }

type callerKey struct{}

// callerFrom is the caller of the request that a handler was given.
func callerFrom(ctx context.Context) caller {
	found, _ := ctx.Value(callerKey{}).(caller)

	return found
}

// identify tells who makes a request. Nobody gets past the handshake without a certificate, but the
// certificate may have expired since, or its CA may not be accepted any more.
func identify(ctx context.Context, store *identity.Store) (caller, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return caller{}, status.Error(codes.Unauthenticated, "the peer is not known")
	}

	switch info := p.AuthInfo.(type) {
	case unixInfo:
		return caller{
			person: resources.Person{Subject: fmt.Sprintf("uid %d", info.Uid), From: fmt.Sprintf("the node's unix socket, pid %d", info.Pid)},
			roles:  admins,
		}, nil
	case tlsInfo:
		if err := check(info, store); err != nil {
			return caller{}, status.Error(codes.Unauthenticated, err.Error())
		}

		return certified(ctx, info, p.Addr.String()), nil
	default:
		return caller{}, status.Error(codes.Unauthenticated, "no verified client certificate")
	}
}

// authInfo is what the transport knows of a request's peer.
func authInfo(ctx context.Context) credentials.AuthInfo {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}

	return p.AuthInfo
}

func check(info tlsInfo, store *identity.Store) error {
	current, _ := store.Current()
	if current == info.identity && time.Now().Before(info.State.PeerCertificates[0].NotAfter) {
		return nil // as at the handshake
	}

	return current.Check(info.State.PeerCertificates, time.Now())
}

// certified is the holder of a certificate, or whom an impersonator makes the request for.
//
// Like in Talos, roles are the certificate's organizations (pkg/machinery/role), and an impersonator's are
// the request's metadata when there are any (siderolabs/talos pkg/grpc/middleware/authz).
func certified(ctx context.Context, info tlsInfo, from string) caller {
	leaf := info.State.PeerCertificates[0]
	roles, _ := role.Parse(leaf.Subject.Organization)

	holder := caller{
		person: resources.Person{Subject: leaf.Subject.String(), Fingerprint: fingerprint(leaf), From: from},
		roles:  roles,
	}

	md, _ := metadata.FromIncomingContext(ctx)
	claimed := md.Get(constants.APIAuthzRoleMetadataKey)

	if !roles.Includes(role.Impersonator) || len(claimed) == 0 {
		return holder
	}

	impersonated := holder
	impersonated.roles, _ = role.Parse(claimed)

	if subject := first(md, subjectKey); subject != "" {
		impersonated.forwarded = true
		impersonated.person = resources.Person{
			Subject: subject, Fingerprint: first(md, fingerprintKey), From: first(md, fromKey) + " by way of " + from,
		}
	}

	return impersonated
}

// fingerprint of a certificate: the SHA-256 of its DER form, in hexadecimal digits.
func fingerprint(certificate *x509.Certificate) string {
	sum := sha256.Sum256(certificate.Raw)

	return hex.EncodeToString(sum[:])
}

func first(md metadata.MD, key string) string {
	if values := md.Get(key); len(values) > 0 {
		return values[0]
	}

	return ""
}
