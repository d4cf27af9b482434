// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"cmp"
	"time"
)

// odometer adds up a workload's usage over its containers, whose counters each begin at zero.
type odometer struct {
	total Usage
	last  Sample
	known bool
	// divided is set until the next reading of the allocation: what it covers lies on both sides of a division.
	divided bool
}

// divide begins another time that is compared with the one before, and returns the total up to it.
func (o *odometer) divide() Usage {
	o.divided = true

	return o.total
}

func (o *odometer) add(sample *Sample) {
	if o.known {
		o.total.Over += sample.At - o.last.At
		o.total.CoreSeconds += increase(o.last.CPU, sample.CPU)
		o.total.TXBytes += increase(o.last.TX, sample.TX)
		o.total.RXBytes += increase(o.last.RX, sample.RX)
		o.allocate(sample)
		o.total.MirrorRequests += increase(o.last.MirrorRequests, sample.MirrorRequests)
		o.total.MirrorHits += increase(o.last.MirrorHits, sample.MirrorHits)
		o.total.UnreadySeconds += increase(o.last.Unready, sample.Unready)
		o.total.ThrottledTime += max(0, sample.ThrottledTime-o.last.ThrottledTime)
	}

	o.last, o.known = *sample, true
}

// allocate adds a newer reading of the allocation.
func (o *odometer) allocate(sample *Sample) {
	before, after := o.last.Allocation, sample.Allocation
	over := cmp.Or(after.At, sample.At) - cmp.Or(before.At, o.last.At)

	switch {
	case over <= 0 || before.checked().Unavailable != "" || after.checked().Unavailable != "":
	case o.divided:
		o.divided = false
	default:
		o.total.AllocatedBytes += max(0, after.Total-before.Total)
		o.total.AllocatedOver += over
	}
}

func increase(before, after Counter) float64 {
	if before.checked().Unavailable != "" || after.checked().Unavailable != "" {
		return 0
	}

	return max(0, after.Total-before.Total)
}

// history keeps the totals at a few moments of the last span, to compare with from a trip.
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

// back returns the usage of about the last span.
func (h *history) back(total Usage) Usage {
	if h.n == 0 {
		return Usage{}
	}

	return total.minus(h.moments[0])
}
