// SPDX-License-Identifier: MPL-2.0

//go:build linux

package api

import (
	"context"
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/credentials"

	"github.com/spegel-guard/spegel-guard/internal/peercred"
	"github.com/spegel-guard/spegel-guard/service/internal/identity"
)

// cuttable is a connection's AuthInfo with a way to end it.
type cuttable interface {
	// cut closes the connection; it tells whether it was open.
	cut() bool
}

// tlsInfo is what is known of a client over TCP.
type tlsInfo struct {
	credentials.TLSInfo

	// identity that was in force when its certificate was verified.
	identity *identity.Identity
	conn     net.Conn
}

func (i tlsInfo) cut() bool { return i.conn.Close() == nil }

// unixInfo is what is known of a process on the node.
type unixInfo struct {
	credentials.CommonAuthInfo
	unix.Ucred

	conn net.Conn
}

// AuthType implements credentials.AuthInfo.
func (unixInfo) AuthType() string { return "unix" }

func (i unixInfo) cut() bool { return i.conn.Close() == nil }

// rotating are transport credentials that follow a store: each handshake is made with the identity in
// force, and connections that are open stay.
type rotating struct {
	store *identity.Store
}

// ServerHandshake implements credentials.TransportCredentials.
func (r rotating) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	id, _ := r.store.Current()

	conn, info, err := credentials.NewTLS(id.Server).ServerHandshake(raw)
	if err != nil {
		return nil, nil, err
	}

	verified, ok := info.(credentials.TLSInfo)
	if !ok || len(verified.State.VerifiedChains) == 0 {
		conn.Close() //nolint:errcheck // the other error counts

		return nil, nil, errors.New("no verified client certificate")
	}

	if c, ok := raw.(*connection); ok {
		if err := c.established(verified.State.PeerCertificates); err != nil {
			conn.Close() //nolint:errcheck // the other error counts

			return nil, nil, err
		}
	}

	return conn, tlsInfo{TLSInfo: verified, identity: id, conn: raw}, nil
}

// ClientHandshake implements credentials.TransportCredentials.
func (r rotating) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	id, _ := r.store.Current()
	if id == nil || id.Client == nil {
		return nil, nil, errNoClientCertificate
	}

	return credentials.NewTLS(id.Client).ClientHandshake(ctx, authority, raw)
}

// Info implements credentials.TransportCredentials.
func (rotating) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

// Clone implements credentials.TransportCredentials.
func (r rotating) Clone() credentials.TransportCredentials { return r }

// OverrideServerName implements credentials.TransportCredentials.
func (rotating) OverrideServerName(string) error { return nil }

// local are transport credentials of a unix socket that only root can open.
type local struct{}

// ServerHandshake implements credentials.TransportCredentials.
func (local) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c, ok := raw.(*connection)
	if !ok {
		return nil, nil, fmt.Errorf("a connection of kind %T is no unix socket's", raw)
	}

	cred, err := peercred.Of(c.Conn)
	if err != nil {
		return nil, nil, err
	}

	if err := c.established(nil); err != nil {
		return nil, nil, err
	}

	return raw, unixInfo{
		CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}, Ucred: cred, conn: raw,
	}, nil
}

// ClientHandshake implements credentials.TransportCredentials.
func (local) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("these are a server's credentials")
}

// Info implements credentials.TransportCredentials.
func (local) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "unix"}
}

// Clone implements credentials.TransportCredentials.
func (l local) Clone() credentials.TransportCredentials { return l }

// OverrideServerName implements credentials.TransportCredentials.
func (local) OverrideServerName(string) error { return nil }
