// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"math"
	"time"

	"github.com/dustin/go-humanize"
)

// Signal is what a rule measures.
type Signal string

// Signals.
const (
	SignalCPU         Signal = "cpu"
	SignalNetworkTX   Signal = "networkTx"
	SignalNetworkRX   Signal = "networkRx"
	SignalAllocation  Signal = "allocation"
	SignalThrottled   Signal = "throttled"
	SignalCPUPressure Signal = "cpuPressure"
)

// signal is a row of the table of signals.
type signal struct {
	name Signal
	unit Unit
	// about is what the signal measures, for the documentation.
	about string
	// counter reads the cumulative counter from a sample.
	counter func(*Sample) Counter
	// whole reads the counter that the first one is a share of; nil for a rate over time.
	whole func(*Sample) float64
	// usage reads the rate that a verdict compares, and over the time in which it was measured; nil if it compares none.
	usage func(Usage) float64
	over  func(Usage) time.Duration
}

// sampled is the time in which counters are measured that are read with each sample.
func sampled(u Usage) time.Duration { return u.Over }

// signals is the table of signals, in the order of the documentation.
var signals = []signal{
	{
		name: SignalCPU, unit: Cores, about: "CPU time that the container uses (cpu.stat usage_usec)",
		counter: func(s *Sample) Counter { return s.CPU }, usage: Usage.Cores, over: sampled,
	},
	{
		name: SignalNetworkTX, unit: BytesPerSecond, about: "bytes that the pod sends over all links of its network namespace except loopback",
		counter: func(s *Sample) Counter { return s.TX }, usage: Usage.TXPerSecond, over: sampled,
	},
	{
		name: SignalNetworkRX, unit: BytesPerSecond, about: "bytes that the pod receives over all links of its network namespace except loopback",
		counter: func(s *Sample) Counter { return s.RX }, usage: Usage.RXPerSecond, over: sampled,
	},
	{
		name: SignalAllocation, unit: BytesPerSecond, about: "bytes that the Go program allocates (go_memstats_alloc_bytes_total of its own metrics)",
		counter: func(s *Sample) Counter { return s.Allocation }, usage: Usage.AllocatedPerSecond,
		over: func(u Usage) time.Duration { return u.AllocatedOver },
	},
	{
		name: SignalThrottled, unit: Ratio, about: "share of the enforcement periods with throttling (cpu.stat nr_throttled of nr_periods)",
		counter: func(s *Sample) Counter {
			return Counter{Total: float64(s.Throttled), Unavailable: s.CPU.Unavailable}
		},
		whole: func(s *Sample) float64 { return float64(s.Periods) },
	},
	{
		name: SignalCPUPressure, unit: Ratio, about: "share of the time in which some task waited for a CPU (cpu.pressure some)",
		counter: func(s *Sample) Counter { return s.Pressure },
	},
}

var unknownSignal = signal{
	counter: func(*Sample) Counter { return Counter{Unavailable: "the signal is unknown"} },
}

// Signals returns all signals.
func Signals() []Signal {
	names := make([]Signal, len(signals))

	for i := range signals {
		names[i] = signals[i].name
	}

	return names
}

func (s Signal) row() *signal {
	for i := range signals {
		if signals[i].name == s {
			return &signals[i]
		}
	}

	return &unknownSignal
}

// Unit returns the unit of the signal's average; empty for an unknown signal and for an expression.
func (s Signal) Unit() Unit { return s.row().unit }

// About returns what the signal measures.
func (s Signal) About() string { return s.row().about }

// Format writes an average of the signal for people: 1803m, 1.4 MB/s, 9.6 GB/min of allocation, 37 %; true or false for an
// expression.
func (s Signal) Format(value float64) string {
	if s == SignalAllocation {
		return humanize.Bytes(uint64(math.Round(max(0, value*60)))) + "/min"
	}

	return s.Unit().Format(value)
}

// Resolution returns the least difference that Format shows, in the signal's unit.
func (s Signal) Resolution() float64 {
	if s == SignalAllocation {
		return 1.0 / 60
	}

	return s.Unit().Resolution()
}
