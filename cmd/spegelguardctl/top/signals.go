// SPDX-License-Identifier: MPL-2.0

package top

import (
	"math"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/compare"
	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

// signals that can be shown, in the order of the tab key.
var signals = [...]struct {
	signal policy.Signal
	column Column
	title  string
	past   func(*guardv1alpha1.Point) *float64
}{
	{policy.SignalCPU, ColumnCPU, "CPU", func(p *guardv1alpha1.Point) *float64 { return p.CpuCores }},
	{policy.SignalNetworkTX, "tx", "TX", func(p *guardv1alpha1.Point) *float64 { return p.TxBytesPerSecond }},
	{policy.SignalAllocation, "allocation", "ALLOC", func(p *guardv1alpha1.Point) *float64 { return p.AllocBytesPerSecond }},
	{policy.SignalThrottled, "throttled", "THROTTLED", func(p *guardv1alpha1.Point) *float64 { return p.ThrottledRatio }},
	{policy.SignalNetworkRX, "rx", "RX", func(p *guardv1alpha1.Point) *float64 { return p.RxBytesPerSecond }},
	// The guard keeps no history of the pressure.
	{policy.SignalCPUPressure, "pressure", "PRESSURE", func(*guardv1alpha1.Point) *float64 { return nil }},
}

// point is one point of the history of the target that is shown. A value that is unavailable is NaN.
type point struct {
	at     time.Time
	values [len(signals)]float64
}

// now returns the point of a target's newest readings.
func now(at time.Time, target client.TargetStatus) point {
	p := point{at: at}

	for i := range signals {
		if r := reading(i, target); r.Known() {
			p.values[i] = Drawable(r.Value)
		} else {
			p.values[i] = math.NaN()
		}
	}

	return p
}

// past returns a point of a node's history.
func past(at time.Time, was *guardv1alpha1.Point) point {
	p := point{at: at}

	for i, s := range signals {
		if v := s.past(was); v != nil {
			p.values[i] = Drawable(*v)
		} else {
			p.values[i] = math.NaN()
		}
	}

	return p
}

// reading returns a target's newest reading of a signal.
func reading(signal int, target client.TargetStatus) resources.Reading {
	return target.Signal(signals[signal].signal)
}

// most is far above every value of a signal; axes of larger numbers overflow.
const most = 1e18

// Drawable returns NaN for a value that has no place on an axis: a node decides what it sends.
func Drawable(v float64) float64 {
	if v >= 0 && v <= most {
		return v
	}

	return math.NaN()
}

func formatted(signal int, v float64) string {
	if signals[signal].signal == policy.SignalAllocation {
		return compare.Alloc.Format(v)
	}

	return signals[signal].signal.Format(v)
}
