// SPDX-License-Identifier: MPL-2.0

//go:build linux

package nodestat

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
)

// Traffic is the cumulative traffic of links in bytes.
type Traffic struct {
	TXBytes, RXBytes uint64
}

// ReadLinks returns the summed counters of the physical links of the process's network namespace. It counts the members of
// a bond or a VLAN and not the bond or VLAN itself.
func ReadLinks() (Traffic, error) {
	links, err := listLinks(netlink.LinkList)
	if err != nil {
		return Traffic{}, fmt.Errorf("failed to list the node's links: %w", err)
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

// maxDumps is how often a dump is repeated that the kernel marks as interrupted (NLM_F_DUMP_INTR): links came or went during
// it, so that some may be missing.
const maxDumps = 10

func listLinks(list func() ([]netlink.Link, error)) ([]netlink.Link, error) {
	for dumps := 1; ; dumps++ {
		links, err := list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) || dumps == maxDumps {
			return links, err
		}
	}
}

// physical reports whether a link is neither loopback nor virtual. Virtual links have IFLA_INFO_KIND; netlink calls one
// without it a device.
func physical(link netlink.Link) bool {
	return link.Type() == "device" && link.Attrs().Flags&net.FlagLoopback == 0
}
