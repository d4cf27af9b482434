// SPDX-License-Identifier: MPL-2.0

package auth

import (
	"context"
	"errors"
	"net"

	"google.golang.org/grpc/credentials"

	"github.com/spegel-guard/spegel-guard/internal/task"
	"github.com/spegel-guard/spegel-guard/service/internal/api/limits"
	"github.com/spegel-guard/spegel-guard/service/internal/identity"
)

// Reasons why a handshake fails.
var (
	// ErrNoClientCertificate is the error of a node that cannot connect to other guards.
	ErrNoClientCertificate = errors.New("this node has no client certificate: control plane nodes have one")

	errNotVerified = errors.New("no verified client certificate")
)

// tlsCredentials follow a store.
type tlsCredentials struct {
	store *identity.Store
}

// TLS returns transport credentials for servers and clients. Each handshake uses the store's identity at that time;
// connections that are open stay open.
func TLS(store *identity.Store) credentials.TransportCredentials { return tlsCredentials{store: store} }

// ServerHandshake implements credentials.TransportCredentials.
func (t tlsCredentials) ServerHandshake(raw net.Conn) (conn net.Conn, info credentials.AuthInfo, err error) {
	defer recovered(&err)

	id, _ := t.store.Current()

	conn, info, err = credentials.NewTLS(id.Server).ServerHandshake(raw)
	if err != nil {
		return nil, nil, err
	}

	verified, ok := info.(credentials.TLSInfo)
	if !ok || len(verified.State.VerifiedChains) == 0 {
		return nil, nil, errors.Join(errNotVerified, conn.Close())
	}

	if c, ok := raw.(*limits.Conn); ok {
		chain := verified.State.PeerCertificates

		if err := c.Established(fingerprint(chain[0]), chain); err != nil {
			return nil, nil, errors.Join(err, conn.Close())
		}
	}

	return conn, tlsInfo{TLSInfo: verified, identity: id, conn: raw}, nil
}

// ClientHandshake implements credentials.TransportCredentials.
func (t tlsCredentials) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (_ net.Conn, _ credentials.AuthInfo, err error) {
	defer recovered(&err)

	id, _ := t.store.Current()
	if id == nil || id.Client == nil {
		return nil, nil, ErrNoClientCertificate
	}

	return credentials.NewTLS(id.Client).ClientHandshake(ctx, authority, raw)
}

// recovered is deferred: it turns a panic of a handshake into its error, because gRPC handshakes in goroutines of its own.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = task.Recovered("handshake", p)
	}
}

// Info implements credentials.TransportCredentials.
func (tlsCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

// Clone implements credentials.TransportCredentials.
func (t tlsCredentials) Clone() credentials.TransportCredentials { return t }

// OverrideServerName implements credentials.TransportCredentials.
func (tlsCredentials) OverrideServerName(string) error { return nil }
