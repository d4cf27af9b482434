// SPDX-License-Identifier: MPL-2.0

package client

import (
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

// mostValue is far above every value of a signal; axes of larger numbers overflow.
const mostValue = 1e18

// Plausible reports whether a signal can have a value: a node decides what it sends.
func Plausible(v float64) bool { return v >= 0 && v <= mostValue }

// Past returns the average of a signal in a point of the history; nil if it is unavailable, or if guards keep no history of it.
func Past(point *guardv1alpha1.Point, signal policy.Signal) *float64 {
	switch signal {
	case policy.SignalCPU:
		return point.CpuCores
	case policy.SignalNetworkTX:
		return point.TxBytesPerSecond
	case policy.SignalNetworkRX:
		return point.RxBytesPerSecond
	case policy.SignalAllocation:
		return point.AllocBytesPerSecond
	case policy.SignalThrottled:
		return point.ThrottledRatio
	default:
		return nil
	}
}
