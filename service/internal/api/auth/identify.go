// SPDX-License-Identifier: MPL-2.0

package auth

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"net"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/spegel-guard/spegel-guard/internal/talos"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/identity"
)

// Identify returns the caller of a request. The error has the code Unauthenticated. The handshake checked the client
// certificate; it may have expired since, or its CA may not be accepted any more.
func Identify(ctx context.Context, store *identity.Store) (Caller, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return Caller{}, status.Error(codes.Unauthenticated, "the request has no peer")
	}

	switch info := p.AuthInfo.(type) {
	case unixInfo:
		return Caller{Person: info.person, Roles: admins}, nil
	case tlsInfo:
		if err := check(info, store); err != nil {
			return Caller{}, status.Error(codes.Unauthenticated, err.Error())
		}

		return certified(ctx, info, p.Addr.String()), nil
	default:
		return Caller{}, status.Error(codes.Unauthenticated, "no verified client certificate")
	}
}

// Connection returns the connection of a request, below TLS; nil without one.
func Connection(ctx context.Context) net.Conn {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}

	switch info := p.AuthInfo.(type) {
	case unixInfo:
		return info.conn
	case tlsInfo:
		return info.conn
	default:
		return nil
	}
}

func check(info tlsInfo, store *identity.Store) error {
	current, _ := store.Current()
	if current == info.identity && time.Now().Before(info.State.PeerCertificates[0].NotAfter) {
		return nil // as at the handshake
	}

	return current.Check(info.State.PeerCertificates, time.Now())
}

// certified returns the holder of a certificate, or the caller that an impersonator names.
//
// As in Talos, roles are the certificate's organizations (pkg/machinery/role), and an impersonator's are the request's
// metadata if there are any (siderolabs/talos pkg/grpc/middleware/authz).
func certified(ctx context.Context, info tlsInfo, from string) Caller {
	leaf := info.State.PeerCertificates[0]
	roles, _ := role.Parse(leaf.Subject.Organization)

	holder := Caller{
		Person: resources.Person{Subject: leaf.Subject.String(), Fingerprint: fingerprint(leaf), From: from},
		Roles:  roles,
	}

	md, _ := metadata.FromIncomingContext(ctx)
	impersonated := md.Get(talos.RoleMetadataKey)

	if !roles.Includes(role.Impersonator) || len(impersonated) == 0 {
		return holder
	}

	caller := holder
	caller.Roles, _ = role.Parse(impersonated)

	if subject := first(md, subjectKey); subject != "" {
		caller.Forwarded = true
		caller.Person = resources.Person{
			Subject: subject, Fingerprint: first(md, fingerprintKey), From: first(md, fromKey) + " by way of " + from,
		}
	}

	return caller
}

// fingerprint returns the SHA-256 of the certificate's DER form in hexadecimal digits.
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
