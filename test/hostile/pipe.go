// SPDX-License-Identifier: MPL-2.0

package hostile

import (
	"context"
	"io"
	"net"
	"net/http"
)

// Dial returns a dialer whose connections are pipes to the handler. A synctest bubble waits for pipes, but not for sockets.
func Dial(handler http.Handler) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()

		go http.Serve(&single{server}, handler) //nolint:errcheck,gosec // it ends with the connection

		return client, nil
	}
}

// single is a listener with one connection.
type single struct{ conn net.Conn }

func (s *single) Accept() (net.Conn, error) {
	if s.conn == nil {
		return nil, io.EOF
	}

	conn := s.conn
	s.conn = nil

	return conn, nil
}

func (s *single) Close() error   { return nil }
func (s *single) Addr() net.Addr { return &net.TCPAddr{} }
