// SPDX-License-Identifier: MPL-2.0

package client

import (
	"crypto/tls"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/connectivity"
)

// TestDirect_ClosesAfterTheLastUse: a stream ends its use after the request that reads it.
func TestDirect_ClosesAfterTheLastUse(t *testing.T) {
	for _, test := range []struct {
		name  string
		brief bool
		// last ends the use of the request.
		last func(*direct)
		want connectivity.State
	}{
		{"Ask in a great fleet", true, (*direct).release, connectivity.Shutdown},
		{"Ask in a small fleet", false, (*direct).release, connectivity.Idle},
		{"without Ask, as top", true, (*direct).end, connectivity.Idle},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := &direct{address: "127.0.0.1:1", tls: &tls.Config{MinVersion: tls.VersionTLS13}, brief: test.brief}

			conn, err := d.use()
			require.NoError(t, err)

			t.Cleanup(func() { assert.NoError(t, d.Close()) })

			_, err = d.use()
			require.NoError(t, err)

			test.last(d)
			assert.Equal(t, connectivity.Idle, conn.GetState(), "the stream still uses it")

			d.end()
			assert.Equal(t, test.want, conn.GetState())
		})
	}
}
