// SPDX-License-Identifier: MPL-2.0

//go:build linux

package limits_test

import (
	"net"
	"os"
	"testing"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/service/internal/api/apitest"
	"github.com/spegel-guard/spegel-guard/service/internal/api/limits"
)

// TestConnections_HandshakesKeepOnlyTheirAddressOut: one above the bound is closed at once, and the others after their time.
func TestConnections_HandshakesKeepOnlyTheirAddressOut(t *testing.T) {
	g := apitest.New(t, apitest.Options{HandshakeTimeout: limits.HandshakeTimeout})

	_, err := g.Client(t, role.Reader).Version(t.Context())
	require.NoError(t, err)

	connect := func() net.Conn {
		dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}

		conn, err := dialer.DialContext(t.Context(), "tcp", g.Endpoint)
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(apitest.Patience)))

		return conn
	}

	var silent []net.Conn

	for range 16 {
		silent = append(silent, connect())
	}

	_, err = connect().Read(make([]byte, 1))
	require.Error(t, err)

	assert.Equal(t, 1, g.Logs.FilterMessageSnippet("refused").Len())

	_, err = g.Client(t, role.Reader).Version(t.Context())
	require.NoError(t, err, "from 127.0.0.1")

	for _, conn := range silent {
		_, err := conn.Read(make([]byte, 1))
		require.Error(t, err)
		assert.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the handshake has no end")
	}
}
