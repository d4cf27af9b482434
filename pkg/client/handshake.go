// SPDX-License-Identifier: MPL-2.0

package client

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"google.golang.org/grpc/credentials"
)

// transport is gRPC's TLS, whose handshake ends with the first bytes of the server. With TLS 1.3 a client has finished before the
// server has checked its certificate: gRPC would report a broken pipe, or the server's reason, depending on which comes first. It
// costs no time, because gRPC sends no request before these bytes.
type transport struct {
	credentials.TransportCredentials

	// connected is called when a TCP connection is open.
	connected func()
}

func newTransport(config *tls.Config, connected func()) credentials.TransportCredentials {
	return transport{TransportCredentials: credentials.NewTLS(config), connected: connected}
}

// Clone implements credentials.TransportCredentials.
func (t transport) Clone() credentials.TransportCredentials {
	return transport{TransportCredentials: t.TransportCredentials.Clone(), connected: t.connected}
}

// ClientHandshake implements credentials.TransportCredentials.
func (t transport) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	t.connected()

	conn, info, err := t.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		return nil, nil, err
	}

	stop := context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) }) //nolint:errcheck // a closed connection needs none
	first := make([]byte, 1)

	n, err := conn.Read(first)
	if !stop() {
		err = ctx.Err()
	}

	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}

	return &begun{Conn: conn, first: first[:n]}, info, nil
}

// begun is a connection of which some bytes were read.
type begun struct {
	net.Conn

	first []byte
}

// Read implements net.Conn.
func (b *begun) Read(p []byte) (int, error) {
	if len(b.first) == 0 {
		return b.Conn.Read(p)
	}

	n := copy(p, b.first)
	b.first = b.first[n:]

	return n, nil
}
