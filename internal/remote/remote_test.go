// SPDX-License-Identifier: MPL-2.0

package remote_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/internal/remote"
)

func TestHost(t *testing.T) {
	for want, addresses := range map[string][]net.Addr{
		"10.0.0.1": {
			&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1}, &net.TCPAddr{IP: net.ParseIP("::ffff:10.0.0.1"), Port: 2},
		},
		"2001:db8:0:1::/64": {
			&net.TCPAddr{IP: net.ParseIP("2001:db8:0:1::5"), Port: 1}, &net.TCPAddr{IP: net.ParseIP("2001:db8:0:1:ffff::6"), Port: 1},
		},
		"fe80::/64": {&net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0", Port: 1}},
		"":          {&net.UnixAddr{Name: "/run/guard.sock", Net: "unix"}, &net.UnixAddr{Net: "unix"}},
	} {
		for _, address := range addresses {
			t.Run(address.String(), func(t *testing.T) { assert.Equal(t, want, remote.Host(address)) })
		}
	}
}
