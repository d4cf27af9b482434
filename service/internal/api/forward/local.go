// SPDX-License-Identifier: MPL-2.0

package forward

import (
	"context"
	"net"
	"slices"
	"time"

	"github.com/spegel-guard/spegel-guard/service/internal/identity"
)

// lookupTimeout bounds the resolution of a name.
const lookupTimeout = 2 * time.Second

// localTo returns a function that reports whether a name or an address is this node's. The address of the listener is. The error is
// that of the name's resolution.
//
// apid compares with Talos' resources. The guard takes the name from there, too, and the addresses from the kernel,
// because it shares the node's network. Any other name is resolved.
func localTo(name *identity.NodeName, listening net.Addr) func(ctx context.Context, node string) (bool, error) {
	return func(ctx context.Context, node string) (bool, error) {
		if name.Is(node) {
			return true, nil
		}

		local := localAddresses(listening)

		if ip := net.ParseIP(node); ip != nil {
			return slices.ContainsFunc(local, ip.Equal), nil
		}

		ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
		defer cancel()

		addresses, err := net.DefaultResolver.LookupIPAddr(ctx, node)

		return slices.ContainsFunc(addresses, func(a net.IPAddr) bool { return slices.ContainsFunc(local, a.IP.Equal) }), err
	}
}

// localAddresses returns the addresses of the listener and of the node. They are read once for a name, which may have many.
func localAddresses(listening net.Addr) []net.IP {
	var all []net.IP

	if tcp, ok := listening.(*net.TCPAddr); ok {
		all = append(all, tcp.IP)
	}

	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return all
	}

	for _, address := range addresses {
		if network, ok := address.(*net.IPNet); ok {
			all = append(all, network.IP)
		}
	}

	return all
}
