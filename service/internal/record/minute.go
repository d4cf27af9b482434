// SPDX-License-Identifier: MPL-2.0

package record

import (
	"time"

	"github.com/spegel-guard/spegel-guard/internal/mean"
)

// minute is a Point of a minute, less before a gap, in 32 bytes, the form in which it is saved, too. A float32 has seven digits.
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
	cpu, tx, rx, allocation, throttled mean.Mean
}

func (s *minuteSum) add(p Point) {
	s.at = p.At
	s.over += p.Over

	s.cpu.Add(p.CPU, p.Over)
	s.tx.Add(p.TX, p.Over)
	s.rx.Add(p.RX, p.Over)
	s.allocation.Add(p.Allocation, p.Over)
	s.throttled.Add(p.Throttled, p.Over)
}

func (s *minuteSum) average() minute {
	return minute{
		At: int64(s.at), Over: float32(s.over.Seconds()), CPU: float32(s.cpu.Value()), TX: float32(s.tx.Value()), RX: float32(s.rx.Value()),
		Allocation: float32(s.allocation.Value()), Throttled: float32(s.throttled.Value()),
	}
}
