// SPDX-License-Identifier: MPL-2.0

package policy

import "time"

// resolution is the number of points of a window that are kept: long windows of short intervals drop points in
// between. The counters are cumulative, so the average stays exact except at the start of the window.
const resolution = 128

// point is a counter at a time.
type point struct {
	at    time.Duration
	value float64
}

// series keeps a counter's points over its window, in a ring that never grows.
type series struct {
	window  time.Duration
	ring    []point
	head, n int
}

// Any two neighbours except the newest are at least window/resolution apart, hence twice as many points.
func newSeries(window time.Duration) series {
	return series{window: window, ring: make([]point, 2*resolution+4)}
}

func (s *series) point(i int) *point { return &s.ring[(s.head+i)%len(s.ring)] }

func (s *series) reset() { s.head, s.n = 0, 0 }

// add appends a point. A counter that went backwards was reset, and so is the series: a difference across the reset
// would mean nothing.
func (s *series) add(at time.Duration, value float64) {
	if s.n > 0 && value < s.point(s.n-1).value {
		s.reset()
	}

	if s.n >= 2 && at-s.point(s.n-2).at < s.window/resolution || s.n == len(s.ring) {
		*s.point(s.n - 1) = point{at: at, value: value}
	} else {
		s.n++
		*s.point(s.n - 1) = point{at: at, value: value}
	}

	// One point at or before the window's start is needed to interpolate from.
	for s.n > 2 && s.point(1).at <= at-s.window {
		s.head = (s.head + 1) % len(s.ring)
		s.n--
	}
}

// delta returns the increase over the window that ends at the newest point, and how much of the window the points
// cover. It is interpolated at the start of the window: samples rarely fall on it.
func (s *series) delta() (float64, time.Duration) {
	if s.n < 2 {
		return 0, 0
	}

	first, last := s.point(0), s.point(s.n-1)
	start := last.at - s.window

	if first.at >= start {
		return last.value - first.value, last.at - first.at
	}

	next := s.point(1)
	share := float64(start-first.at) / float64(next.at-first.at)

	return last.value - (first.value + share*(next.value-first.value)), s.window
}
