// SPDX-License-Identifier: MPL-2.0

//go:build linux

package nodestat

import (
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
)

// Traffic in bytes, cumulative.
type Traffic struct {
	TXBytes, RXBytes uint64
}

// ReadLinks adds up the counters of the physical links of the own network namespace: those that no
// driver made out of others. A bond or VLAN is left out, what it is made of counts.
func ReadLinks() (Traffic, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return Traffic{}, fmt.Errorf("error listing the node's links: %w", err)
	}

	var sum Traffic

	for _, link := range links {
		attrs := link.Attrs()

		if !physical(link) || attrs.Statistics == nil {
			continue
		}

		sum.TXBytes += attrs.Statistics.TxBytes
		sum.RXBytes += attrs.Statistics.RxBytes
	}

	return sum, nil
}

// physical links have no IFLA_INFO_KIND, which netlink calls a device.
func physical(link netlink.Link) bool {
	return link.Type() == "device" && link.Attrs().Flags&net.FlagLoopback == 0
}
