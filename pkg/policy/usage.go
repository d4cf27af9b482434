// SPDX-License-Identifier: MPL-2.0

package policy

import "time"

// Usage is what a workload used over some time.
type Usage struct {
	// Over is how much time; 0 when nothing is known.
	Over time.Duration `json:"over"`
	// CoreSeconds of processor time.
	CoreSeconds float64 `json:"coreSeconds"`
	// TXBytes, RXBytes and AllocatedBytes.
	TXBytes        float64 `json:"txBytes"`
	RXBytes        float64 `json:"rxBytes"`
	AllocatedBytes float64 `json:"allocatedBytes"`
	// ThrottledTime in seconds, of all processors together.
	ThrottledTime float64 `json:"throttledTime"`
}

// Cores is the average processor use.
func (u Usage) Cores() float64 { return u.perSecond(u.CoreSeconds) }

// TXPerSecond is the average of bytes sent per second.
func (u Usage) TXPerSecond() float64 { return u.perSecond(u.TXBytes) }

// RXPerSecond is the average of bytes received per second.
func (u Usage) RXPerSecond() float64 { return u.perSecond(u.RXBytes) }

// AllocatedPerSecond is the average of bytes allocated per second.
func (u Usage) AllocatedPerSecond() float64 { return u.perSecond(u.AllocatedBytes) }

func (u Usage) perSecond(total float64) float64 {
	if u.Over <= 0 {
		return 0
	}

	return total / u.Over.Seconds()
}

func (u Usage) minus(v Usage) Usage {
	return Usage{
		Over: u.Over - v.Over, CoreSeconds: u.CoreSeconds - v.CoreSeconds,
		TXBytes: u.TXBytes - v.TXBytes, RXBytes: u.RXBytes - v.RXBytes,
		AllocatedBytes: u.AllocatedBytes - v.AllocatedBytes, ThrottledTime: u.ThrottledTime - v.ThrottledTime,
	}
}

// odometer adds up a workload's use over its containers, whose counters each begin at zero.
type odometer struct {
	total Usage
	last  Sample
	known bool
}

func (o *odometer) add(sample *Sample) {
	if o.known {
		o.total.Over += sample.At - o.last.At
		o.total.CoreSeconds += increase(o.last.CPU, sample.CPU)
		o.total.TXBytes += increase(o.last.TX, sample.TX)
		o.total.RXBytes += increase(o.last.RX, sample.RX)
		o.total.AllocatedBytes += increase(o.last.Allocation, sample.Allocation)
		o.total.ThrottledTime += max(0, sample.ThrottledTime-o.last.ThrottledTime)
	}

	o.last, o.known = *sample, true
}

func increase(before, after Counter) float64 {
	if before.checked().Unavailable != "" || after.checked().Unavailable != "" {
		return 0
	}

	return max(0, after.Total-before.Total)
}

// history keeps what was used at a few moments of the last while, to look back from a trip.
type history struct {
	span    time.Duration
	moments [historyLength]Usage
	n       int
}

const historyLength = 16

func (h *history) add(total Usage) {
	if h.n > 0 && total.Over-h.moments[h.n-1].Over < h.span/(historyLength-1) {
		return
	}

	if h.n == historyLength {
		copy(h.moments[:], h.moments[1:])
		h.n--
	}

	h.moments[h.n] = total
	h.n++
}

// back is the use of about the last span.
func (h *history) back(total Usage) Usage {
	if h.n == 0 {
		return Usage{}
	}

	return total.minus(h.moments[0])
}
