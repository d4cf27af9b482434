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
	// The newest available values. The next reading includes the usage of a gap.
	cpu, tx, rx, requests, hits, unready cumulative
	// divided is set until the first reading of the allocation at or after the last division, dividedAt: what it covers lies on both sides.
	divided   bool
	dividedAt time.Duration
}

// cumulative is the newest available value of a counter.
type cumulative struct {
	total float64
	known bool
	// missed is set once a later value was unavailable.
	missed bool
}

// step moves to a newer value, and returns the increase.
func (c *cumulative) step(counter Counter) float64 {
	if counter.checked().Unavailable != "" {
		c.missed = true

		return 0
	}

	before := *c
	*c = cumulative{total: counter.Total, known: true}

	if !before.known {
		return 0
	}

	return max(0, counter.Total-before.total)
}

func (o *odometer) counters() []*cumulative {
	return []*cumulative{&o.cpu, &o.tx, &o.rx, &o.requests, &o.hits, &o.unready}
}

// reset drops the counters: those of the next container begin at zero.
func (o *odometer) reset() {
	o.known = false

	for _, c := range o.counters() {
		*c = cumulative{}
	}
}

// divide begins another time that is compared with the one before, and returns the total up to it. The usage of a gap that is open then
// lies on both sides, and is not counted.
func (o *odometer) divide() Usage {
	o.divided, o.dividedAt = true, o.last.At

	for _, c := range o.counters() {
		c.known = c.known && !c.missed
	}

	return o.total
}

func (o *odometer) add(sample *Sample) {
	o.total.CoreSeconds += o.cpu.step(sample.CPU)
	o.total.TXBytes += o.tx.step(sample.TX)
	o.total.RXBytes += o.rx.step(sample.RX)
	o.total.MirrorRequests += o.requests.step(sample.MirrorRequests)
	o.total.MirrorHits += o.hits.step(sample.MirrorHits)
	o.total.UnreadySeconds += o.unready.step(sample.Unready)

	if o.known {
		o.total.Over += sample.At - o.last.At
		o.allocate(sample)
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
		o.divided = cmp.Or(after.At, sample.At) < o.dividedAt
	default:
		o.total.AllocatedBytes += max(0, after.Total-before.Total)
		o.total.AllocatedOver += over
	}
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
