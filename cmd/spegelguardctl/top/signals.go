// SPDX-License-Identifier: MPL-2.0

package top

import (
	"math"
	"time"

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
}{
	{policy.SignalCPU, ColumnCPU, "CPU"},
	{policy.SignalNetworkTX, "tx", "TX"},
	{policy.SignalAllocation, "allocation", "ALLOC"},
	{policy.SignalThrottled, "throttled", "THROTTLED"},
	{policy.SignalNetworkRX, "rx", "RX"},
	// The guard keeps no history of the pressure.
	{policy.SignalCPUPressure, "pressure", "PRESSURE"},
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
		p.values[i] = Past(was, s.signal)
	}

	return p
}

// Past returns the value of a signal in a point of a history; NaN if it was unavailable, or has no place on an axis.
func Past(was *guardv1alpha1.Point, signal policy.Signal) float64 {
	if v := client.Past(was, signal); v != nil {
		return Drawable(*v)
	}

	return math.NaN()
}

// reading returns a target's newest reading of a signal.
func reading(signal int, target client.TargetStatus) resources.Reading {
	return target.Signal(signals[signal].signal)
}

// Drawable returns NaN for a value that has no place on an axis: a node decides what it sends.
func Drawable(v float64) float64 {
	if client.Plausible(v) {
		return v
	}

	return math.NaN()
}

func formatted(signal int, v float64) string { return signals[signal].signal.Format(v) }
