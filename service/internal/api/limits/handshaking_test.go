// SPDX-License-Identifier: MPL-2.0

package limits_test

import (
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/spegel-guard/spegel-guard/service/internal/api/limits"
)

// queue is a listener with the connections of a test. It fails when there is none.
type queue chan net.Conn

func (q queue) Accept() (net.Conn, error) {
	select {
	case conn := <-q:
		return conn, nil
	default:
		return nil, io.EOF
	}
}

func (queue) Close() error   { return nil }
func (queue) Addr() net.Addr { return &net.TCPAddr{} }

// from is a connection from an address.
type from struct {
	net.Conn

	address net.Addr
	closed  chan struct{}
}

func (f *from) RemoteAddr() net.Addr { return f.address }

func (f *from) Close() error {
	close(f.closed)

	return f.Conn.Close()
}

func (f *from) isClosed() bool {
	select {
	case <-f.closed:
		return true
	default:
		return false
	}
}

// TestConnections_HandshakesOfAFewAddressesKeepNobodyOut: four addresses have all handshakes, and connect again at once.
func TestConnections_HandshakesOfAFewAddressesKeepNobodyOut(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	accepted := make(queue, 1)
	listener := limits.NewConnections(zap.New(core)).Listener(accepted)

	connect := func(address string) *from {
		conn, peer := net.Pipe()
		t.Cleanup(func() { peer.Close() })

		f := &from{Conn: conn, address: &net.TCPAddr{IP: net.ParseIP(address)}, closed: make(chan struct{})}
		accepted <- f

		admitted, err := listener.Accept()
		require.NoError(t, err)
		require.Equal(t, f.address, admitted.RemoteAddr())

		return f
	}

	var silent []*from

	for i := range 64 {
		silent = append(silent, connect([]string{"127.0.0.60", "127.0.0.61", "127.0.0.62", "127.0.0.63"}[i%4]))
	}

	require.Zero(t, logs.Len())

	client := connect("127.0.0.1")

	assert.True(t, silent[0].isClosed(), "the oldest")
	assert.Equal(t, 1, logs.FilterMessageSnippet("refused").Len())

	// Each that is closed is back at once.
	for range 200 {
		for i, conn := range silent {
			if conn.isClosed() {
				silent[i] = connect(conn.address.(*net.TCPAddr).IP.String())

				break
			}
		}
	}

	assert.False(t, client.isClosed())
}
