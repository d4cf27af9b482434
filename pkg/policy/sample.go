// SPDX-License-Identifier: MPL-2.0

// Package policy decides: samples of one workload in, rule states and the wanted ceiling out.
//
// It is pure. It reads no clock and no file; time is what the samples say. The same samples, the
// same configuration and the same seed always give the same decisions.
package policy

import (
	"math"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/config"
)

// Sample is one reading of a workload's cumulative counters.
//
// Because they are cumulative, a sample that is lost costs resolution, never correctness.
type Sample struct {
	// At is a clock that never jumps (CLOCK_BOOTTIME), in nanoseconds.
	At time.Duration `json:"at"`
	// CPU is the processor time used, in core-seconds.
	CPU Counter `json:"cpu,omitzero"`
	// TX and RX are what was sent and received, in bytes.
	TX Counter `json:"tx,omitzero"`
	RX Counter `json:"rx,omitzero"`
	// Allocation is what the Go program allocated, in bytes.
	Allocation Counter `json:"allocation,omitzero"`
	// Pressure is the time in which some task waited for a processor, in seconds (cpu.pressure "some" total).
	Pressure Counter `json:"pressure,omitzero"`
	// Periods and Throttled count the enforcement periods (cpu.stat nr_periods, nr_throttled), and
	// ThrottledTime is what was held back in them, in seconds (throttled_usec).
	Periods       uint64  `json:"periods,omitzero"`
	Throttled     uint64  `json:"throttled,omitzero"`
	ThrottledTime float64 `json:"throttledTime,omitzero"`
	// Owner is the owner's own limit in cores; 0 for none, or when it is not known.
	Owner float64 `json:"owner,omitempty"`
	// Suspended tells that a person wants no ceiling now: a hold ends, and none begins. What the rules
	// see meanwhile counts afterwards.
	Suspended bool `json:"suspended,omitempty"`
	// Manual is a ceiling that a person asked for, in cores; 0 for none. It is in force beside a hold's.
	Manual float64 `json:"manual,omitempty"`
	// AdvertiseCycle is how long spegel's last round of advertising took, AdvertiseTTL how long its
	// records last; 0 when its metrics do not show it.
	AdvertiseCycle time.Duration `json:"advertiseCycle,omitempty"`
	AdvertiseTTL   time.Duration `json:"advertiseTTL,omitempty"`
}

// Counter is a cumulative value, or the reason there is none.
type Counter struct {
	Total float64 `json:"total,omitzero"`
	// At is when it was read; 0 is with the sample. One that is read less often than samples are taken
	// comes again with the same At, and counts once.
	At time.Duration `json:"at,omitzero"`
	// Unavailable is why the value could not be read; empty when it was.
	Unavailable string `json:"unavailable,omitempty"`
}

// checked is the counter, unavailable when its total is none.
func (c Counter) checked() Counter {
	if c.Unavailable == "" && (math.IsNaN(c.Total) || math.IsInf(c.Total, 0) || c.Total < 0) {
		return Counter{Unavailable: "the counter is not a number"}
	}

	return c
}

// counters are what a signal is made of: numerator, and denominator where it is not time.
func (s *Sample) counters(signal config.Signal) (Counter, float64) {
	switch signal {
	case config.SignalCPU:
		return s.CPU.checked(), 0
	case config.SignalNetworkTX:
		return s.TX.checked(), 0
	case config.SignalNetworkRX:
		return s.RX.checked(), 0
	case config.SignalAllocation:
		return s.Allocation.checked(), 0
	case config.SignalCPUPressure:
		return s.Pressure.checked(), 0
	case config.SignalThrottled:
		return Counter{Total: float64(s.Throttled), Unavailable: s.CPU.Unavailable}, float64(s.Periods)
	default:
		return Counter{Unavailable: "unknown signal " + string(signal)}, 0
	}
}
