// SPDX-License-Identifier: MPL-2.0

package resources

import "github.com/spegel-guard/spegel-guard/pkg/policy"

// Signal returns the reading of a signal that rules measure.
func (s *TargetStatsSpec) Signal(signal policy.Signal) Reading {
	switch signal {
	case policy.SignalCPU:
		return s.CPU
	case policy.SignalNetworkTX:
		return s.TXBytesPerSecond
	case policy.SignalNetworkRX:
		return s.RXBytesPerSecond
	case policy.SignalAllocation:
		return s.Application.AllocBytesPerSecond
	case policy.SignalThrottled:
		return s.ThrottledRatio
	case policy.SignalCPUPressure:
		return s.CPUPressure
	default:
		return Unavailable("the signal is unknown")
	}
}
