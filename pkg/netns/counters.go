// SPDX-License-Identifier: MPL-2.0

package netns

// Counters are cumulative since the links came up.
type Counters struct {
	TXBytes, RXBytes     uint64
	TXPackets, RXPackets uint64
	TXDropped, RXDropped uint64
}
