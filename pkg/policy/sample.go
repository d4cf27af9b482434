// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"math"
	"time"
)

// Sample is one reading of a workload's cumulative counters. A lost sample costs resolution only.
type Sample struct {
	// At is a clock that never jumps (CLOCK_BOOTTIME).
	At time.Duration `json:"at"`
	// CPU is the CPU time used, in core-seconds.
	CPU Counter `json:"cpu,omitzero"`
	// TX and RX are the bytes sent and received.
	TX Counter `json:"tx,omitzero"`
	RX Counter `json:"rx,omitzero"`
	// Allocation is the bytes that the Go program allocated.
	Allocation Counter `json:"allocation,omitzero"`
	// Pressure is the time in which some task waited for a CPU, in seconds (cpu.pressure some total).
	Pressure Counter `json:"pressure,omitzero"`
	// MirrorRequests are the requests of the container runtime for content of a registry, MirrorHits those of them that were
	// served from a peer, and Unready is the time that the program answered that it is not ready, in seconds.
	MirrorRequests Counter `json:"mirrorRequests,omitzero"`
	MirrorHits     Counter `json:"mirrorHits,omitzero"`
	Unready        Counter `json:"unready,omitzero"`
	// Periods and Throttled count the enforcement periods (cpu.stat nr_periods, nr_throttled), and ThrottledTime is
	// the time held back in them, in seconds (throttled_usec).
	Periods       uint64  `json:"periods,omitzero"`
	Throttled     uint64  `json:"throttled,omitzero"`
	ThrottledTime float64 `json:"throttledTime,omitzero"`
	// Owner is the owner's limit in cores; 0 for none, or when it is unavailable.
	Owner float64 `json:"owner,omitempty"`
	// Applied is when the ceiling of a hold that is in force was written, on the clock of At; 0 for none.
	Applied time.Duration `json:"applied,omitempty"`
	// Suspended is set while an override allows no ceiling: a hold ends, and none begins. The rules go on measuring.
	Suspended bool `json:"suspended,omitempty"`
	// Override is the ceiling of an override in cores; 0 for none. The lower one of it and the hold's is in force.
	Override float64 `json:"override,omitempty"`
}

// Counter is a cumulative value, or the reason there is none.
type Counter struct {
	Total float64 `json:"total,omitzero"`
	// At is when it was read; 0 is with the sample. A counter that is read less often than samples are taken is
	// repeated with the same At, and counts once.
	At time.Duration `json:"at,omitzero"`
	// Unavailable is why the value could not be read; empty when it was.
	Unavailable string `json:"unavailable,omitempty"`
}

// checked returns the counter, unavailable when its total is not a positive finite number.
func (c Counter) checked() Counter {
	if c.Unavailable == "" && (math.IsNaN(c.Total) || math.IsInf(c.Total, 0) || c.Total < 0) {
		return Counter{Unavailable: "the counter is not a number"}
	}

	return c
}
