// SPDX-License-Identifier: MPL-2.0

//go:build linux

package metrics_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/service/internal/metrics"
	"github.com/spegel-guard/spegel-guard/test/pki"
)

// connect opens a connection from an address of the loopback.
func connect(t *testing.T, from, to string) net.Conn {
	t.Helper()

	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}

	conn, err := dialer.DialContext(t.Context(), "tcp", to)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })

	return conn
}

// scrapeOver makes a request on a connection, which stays open, and returns the status; 0 if the connection is closed.
func scrapeOver(t *testing.T, conn net.Conn) int {
	t.Helper()

	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))

	// An error of the write is one of the read, too.
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: guard\r\n\r\n", metrics.Path)

	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		require.False(t, isTimeout(err), "the connection hangs: %v", err)

		return 0
	}

	defer response.Body.Close()

	_, err = io.Copy(io.Discard, response.Body)
	require.NoError(t, err)

	return response.StatusCode
}

func isTimeout(err error) bool {
	var timeout net.Error

	return errors.As(err, &timeout) && timeout.Timeout()
}

// ended reports whether the server has closed a connection.
func ended(t *testing.T, conn net.Conn) bool {
	t.Helper()

	require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))

	_, err := conn.Read(make([]byte, 1))

	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
}

// TestServe_IdleConnectionsKeepNobodyOut: those of one address take each other's place.
func TestServe_IdleConnectionsKeepNobodyOut(t *testing.T) {
	endpoint := serve(t, metrics.Options{})

	var idle []net.Conn

	for range 20 {
		conn := connect(t, "127.0.0.2", endpoint)
		assert.Equal(t, http.StatusOK, scrapeOver(t, conn))

		idle = append(idle, conn)
	}

	assert.True(t, ended(t, idle[0]), "the one that was idle for the longest time")
	assert.Equal(t, http.StatusOK, scrapeOver(t, idle[19]))
	assert.Equal(t, http.StatusOK, scrapeOver(t, connect(t, "127.0.0.1", endpoint)))
}

// TestServe_IdleConnectionsOfManyAddressesKeepNobodyOut: the total is reached.
func TestServe_IdleConnectionsOfManyAddressesKeepNobodyOut(t *testing.T) {
	endpoint := serve(t, metrics.Options{})

	for i := range 70 {
		assert.Equal(t, http.StatusOK, scrapeOver(t, connect(t, fmt.Sprintf("127.0.1.%d", i+1), endpoint)))
	}

	assert.Equal(t, http.StatusOK, scrapeOver(t, connect(t, "127.0.0.1", endpoint)))
}

// TestServe_HalfRequestsKeepNobodyOut: the oldest is closed for a new one.
func TestServe_HalfRequestsKeepNobodyOut(t *testing.T) {
	endpoint := serve(t, metrics.Options{})

	var half []net.Conn

	for range 8 {
		conn := connect(t, "127.0.0.2", endpoint)

		_, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: gu", metrics.Path)
		require.NoError(t, err)

		half = append(half, conn)
	}

	assert.Equal(t, http.StatusOK, scrapeOver(t, connect(t, "127.0.0.2", endpoint)))
	assert.True(t, ended(t, half[0]))
	assert.Equal(t, http.StatusOK, scrapeOver(t, connect(t, "127.0.0.1", endpoint)))
}

// TestServe_SilentConnectionsOfManyAddressesKeepNobodyOut: they have all connections and request nothing.
func TestServe_SilentConnectionsOfManyAddressesKeepNobodyOut(t *testing.T) {
	endpoint := serve(t, metrics.Options{})

	for i := range 64 {
		connect(t, fmt.Sprintf("127.0.1.%d", i/8+1), endpoint)
	}

	for range 8 {
		assert.Equal(t, http.StatusOK, scrapeOver(t, connect(t, "127.0.0.1", endpoint)))
	}
}

// TestServe_SlowReadersKeepNobodyOut: they request again and again, and read nothing.
func TestServe_SlowReadersKeepNobodyOut(t *testing.T) {
	endpoint := serve(t, metrics.Options{})

	for range 8 {
		conn := connect(t, "127.0.0.2", endpoint)
		require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(1))

		go func() {
			for {
				if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: guard\r\n\r\n", metrics.Path); err != nil {
					return
				}
			}
		}()
	}

	for range 20 {
		assert.Equal(t, http.StatusOK, scrapeOver(t, connect(t, "127.0.0.1", endpoint)))
	}
}

// TestServe_IdleTLSConnectionsKeepNobodyOut: the same, with the states of TLS connections.
func TestServe_IdleTLSConnectionsKeepNobodyOut(t *testing.T) {
	authority, err := pki.New()
	require.NoError(t, err)

	endpoint := serve(t, metrics.Options{Identities: store(t, authority)})

	cfg, err := authority.ClientTLS("prometheus", role.Reader)
	require.NoError(t, err)

	cfg.NextProtos, cfg.ServerName = nil, "127.0.0.1"

	for range 20 {
		conn := tls.Client(connect(t, "127.0.0.2", endpoint), cfg)
		assert.Equal(t, http.StatusOK, scrapeOver(t, conn))
	}
}
