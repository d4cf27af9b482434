// SPDX-License-Identifier: MPL-2.0

package client

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"
)

// transport is gRPC's TLS, whose handshake ends with the first bytes of the server. With TLS 1.3 a client has finished before the
// server has checked its certificate: gRPC would report a broken pipe, or the server's reason, depending on which comes first. It
// costs no time, because gRPC sends no request before these bytes.
type transport struct {
	credentials.TransportCredentials

	// open counts the TCP connections that are open.
	open *atomic.Int32
}

func newTransport(config *tls.Config, open *atomic.Int32) credentials.TransportCredentials {
	return transport{TransportCredentials: credentials.NewTLS(config), open: open}
}

// Clone implements credentials.TransportCredentials.
func (t transport) Clone() credentials.TransportCredentials {
	return transport{TransportCredentials: t.TransportCredentials.Clone(), open: t.open}
}

// ClientHandshake implements credentials.TransportCredentials.
func (t transport) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (_ net.Conn, _ credentials.AuthInfo, err error) {
	t.open.Add(1)

	closed := sync.OnceFunc(func() { t.open.Add(-1) })

	defer func() {
		if err != nil {
			closed()
		}
	}()

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

	return &begun{Conn: conn, first: first[:n], closed: closed}, info, nil
}

// begun is a connection of which some bytes were read.
type begun struct {
	net.Conn

	first []byte
	// closed is called when the connection is closed, possibly several times.
	closed func()
}

// Close implements net.Conn.
func (b *begun) Close() error {
	b.closed()

	return b.Conn.Close()
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
