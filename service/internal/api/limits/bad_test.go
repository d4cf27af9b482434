// SPDX-License-Identifier: MPL-2.0

//go:build linux

package limits_test

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/service/internal/api/limits"
	"github.com/spegel-guard/spegel-guard/test/badclient"
)

// bad is a client that does what clients should not.
func (c *child) bad(t *testing.T, name string, window uint32) *badclient.Client {
	t.Helper()

	cfg, err := c.pki.ClientTLS(name, role.Reader)
	require.NoError(t, err)

	return dialBad(t, c.endpoint, cfg, window)
}

func dialBad(t *testing.T, endpoint string, cfg *tls.Config, window uint32) *badclient.Client {
	t.Helper()

	var client *badclient.Client

	for again := true; again; {
		var err error

		began := time.Now()
		client, err = badclient.Dial(endpoint, cfg, window)

		// The guard closes a connection whose handshake takes too long, also because the machine stood still.
		again = err != nil && time.Since(began) >= limits.HandshakeTimeout
		require.True(t, err == nil || again, "%v", err)
	}

	t.Cleanup(func() { client.Close() })

	return client
}
