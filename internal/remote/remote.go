// SPDX-License-Identifier: MPL-2.0

// Package remote names the hosts of connections where those are counted.
package remote

import (
	"net"
	"net/netip"
)

// prefix is the length of the IPv6 network that one host has: it may use any address of it.
const prefix = 64

// Host returns the IPv4 address, or the IPv6 network, of a connection's remote address; empty for a unix socket.
func Host(address net.Addr) string {
	port, err := netip.ParseAddrPort(address.String())
	if err != nil {
		return ""
	}

	ip := port.Addr().Unmap()
	if ip.Is4() {
		return ip.String()
	}

	network, err := ip.WithZone("").Prefix(prefix)
	if err != nil {
		return ip.String()
	}

	return network.String()
}
