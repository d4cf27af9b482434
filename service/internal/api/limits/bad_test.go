// SPDX-License-Identifier: MPL-2.0

//go:build linux

package limits_test

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/service/internal/api/apitest"
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

	for deadline, again := time.Now().Add(apitest.Patience), true; again; {
		var err error

		began := time.Now()
		client, err = badclient.Dial(endpoint, cfg, window)

		// A guard with the bound of production closes a connection whose handshake takes longer, also because the machine stood still.
		again = err != nil && time.Since(began) >= limits.HandshakeTimeout && time.Now().Before(deadline)
		require.True(t, err == nil || again, "%v", err)
	}

	t.Cleanup(func() { client.Close() })

	return client
}
