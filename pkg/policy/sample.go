// Package policy decides: samples of one workload in, rule states and the wanted ceiling out.
//
// It is pure. It reads no clock and no file; time is what the samples say. The same samples and the
// same configuration always give the same decisions.
package policy

import (
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/config"
)

// Sample is one reading of a workload's cumulative counters.
//
// Because they are cumulative, a sample that is lost costs resolution, never correctness.
type Sample struct {
	// At is a clock that never jumps (CLOCK_BOOTTIME).
	At time.Duration
	// CPU is the processor time used, in core-seconds.
	CPU Counter
	// TX is what was sent, in bytes.
	TX Counter
	// Periods and Throttled count the enforcement periods (cpu.stat nr_periods, nr_throttled).
	Periods, Throttled uint64
}

// Counter is a cumulative value, or the reason there is none.
type Counter struct {
	Total float64
	// Blind is why the value could not be read; empty when it was.
	Blind string
}

func (s Sample) counter(signal config.Signal) Counter {
	switch signal {
	case config.SignalCPU:
		return s.CPU
	case config.SignalNetworkTX:
		return s.TX
	default:
		return Counter{Blind: "unknown signal " + string(signal)}
	}
}

// point is what a window needs to know of a sample.
type point struct {
	at    time.Duration
	value float64
}

// series keeps a counter's points as far back as the longest window looks.
type series struct {
	points []point
	keep   time.Duration
}

// add appends a point. A counter that went backwards was reset: what it counted before is gone, and
// so is the history, because a difference across the reset would mean nothing.
func (s *series) add(at time.Duration, value float64) {
	if n := len(s.points); n > 0 && value < s.points[n-1].value {
		s.points = s.points[:0]
	}

	// One point at or before the window's start is needed to interpolate from.
	drop := 0
	for drop+1 < len(s.points) && s.points[drop+1].at <= at-s.keep {
		drop++
	}

	s.points = append(s.points[:copy(s.points, s.points[drop:])], point{at: at, value: value})
}

func (s *series) reset() { s.points = s.points[:0] }

// rate is the average increase per second over the window that ends at the newest point, and how
// much of the window the history covers.
func (s *series) rate(window time.Duration) (float64, time.Duration) {
	delta, covered := s.delta(window)
	if covered <= 0 {
		return 0, 0
	}

	return delta / covered.Seconds(), covered
}

// delta is the increase over the window, interpolated at its start: samples rarely fall on it.
func (s *series) delta(window time.Duration) (float64, time.Duration) {
	if len(s.points) < 2 {
		return 0, 0
	}

	last := s.points[len(s.points)-1]
	start := last.at - window
	first := s.points[0]

	if first.at >= start {
		return last.value - first.value, last.at - first.at
	}

	for i := len(s.points) - 1; i > 0; i-- {
		before, after := s.points[i-1], s.points[i]

		if before.at <= start {
			share := float64(start-before.at) / float64(after.at-before.at)

			return last.value - (before.value + share*(after.value-before.value)), window
		}
	}

	return last.value - first.value, last.at - first.at
}
