// SPDX-License-Identifier: MPL-2.0

package record

import (
	"math"
	"time"
)

// minute is a Point of a minute or more in 32 bytes, the form in which it is saved, too. A float32 has seven digits.
type minute struct {
	// At in nanoseconds.
	At int64
	// Over in seconds.
	Over, CPU, TX, RX, Allocation, Throttled float32
}

func (m minute) point() Point {
	return Point{
		At: time.Duration(m.At), Over: time.Duration(float64(m.Over) * float64(time.Second)).Round(time.Millisecond),
		CPU: float64(m.CPU), TX: float64(m.TX), RX: float64(m.RX), Allocation: float64(m.Allocation), Throttled: float64(m.Throttled),
	}
}

// figures are its averages.
func (m minute) figures() [5]float32 { return [5]float32{m.CPU, m.TX, m.RX, m.Allocation, m.Throttled} }

// minuteSum adds up points to their average.
type minuteSum struct {
	at, over                           time.Duration
	cpu, tx, rx, allocation, throttled weighted
}

func (s *minuteSum) add(p Point) {
	s.at = p.At
	s.over += p.Over

	s.cpu.add(p.CPU, p.Over)
	s.tx.add(p.TX, p.Over)
	s.rx.add(p.RX, p.Over)
	s.allocation.add(p.Allocation, p.Over)
	s.throttled.add(p.Throttled, p.Over)
}

func (s *minuteSum) average() minute {
	return minute{
		At: int64(s.at), Over: float32(s.over.Seconds()), CPU: s.cpu.average(), TX: s.tx.average(), RX: s.rx.average(),
		Allocation: s.allocation.average(), Throttled: s.throttled.average(),
	}
}

// weighted is the sum of a value over the time in which it was available.
type weighted struct{ sum, seconds float64 }

func (w *weighted) add(value float64, over time.Duration) {
	if !math.IsNaN(value) {
		w.sum += value * over.Seconds()
		w.seconds += over.Seconds()
	}
}

// average is NaN if the value was never available.
func (w *weighted) average() float32 { return float32(w.sum / w.seconds) }
