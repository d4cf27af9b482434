// SPDX-License-Identifier: MPL-2.0

//go:build linux

package observe

import (
	"github.com/spegel-guard/spegel-guard/pkg/netns"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// LinksReader reads the counters of all links of a network namespace but loopback: see netns.Links.
type LinksReader interface {
	Counters() (netns.Counters, error)
	Close()
}

// linksSampler makes rates of them.
type linksSampler struct {
	txBytes, rxBytes, txPackets, rxPackets, txDropped, rxDropped Counter
}

// sample takes counters.
func (s *linksSampler) sample(next *resources.TargetStatsSpec, counters netns.Counters) {
	c, at := &next.Counters, next.Clock
	c.TXBytes, c.RXBytes = counters.TXBytes, counters.RXBytes
	c.TXPackets, c.RXPackets = counters.TXPackets, counters.RXPackets
	c.TXDropped, c.RXDropped = counters.TXDropped, counters.RXDropped

	next.TXBytesPerSecond = s.txBytes.Rate(at, float64(c.TXBytes), 1)
	next.RXBytesPerSecond = s.rxBytes.Rate(at, float64(c.RXBytes), 1)
	next.TXPacketsPerSecond = s.txPackets.Rate(at, float64(c.TXPackets), 1)
	next.RXPacketsPerSecond = s.rxPackets.Rate(at, float64(c.RXPackets), 1)
	next.TXDroppedPerSecond = s.txDropped.Rate(at, float64(c.TXDropped), 1)
	next.RXDroppedPerSecond = s.rxDropped.Rate(at, float64(c.RXDropped), 1)
}

func unavailableLinks(next *resources.TargetStatsSpec, reason string) {
	reading := resources.Unavailable(reason)

	next.TXBytesPerSecond, next.RXBytesPerSecond = reading, reading
	next.TXPacketsPerSecond, next.RXPacketsPerSecond = reading, reading
	next.TXDroppedPerSecond, next.RXDroppedPerSecond = reading, reading
}
