// SPDX-License-Identifier: MPL-2.0

package record

import (
	"math"
	"slices"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// late is how much later than its interval a sample may come. What follows it on time is a bit less than a step after it, and must not be
// left out: where samples are taken once in a step, the next point would cover two.
const late = 500 * time.Millisecond

// series is the history of one target or of the node.
type series struct {
	container string
	// from is the sample that the next point begins with, if there is one.
	from  policy.Sample
	known bool

	points  ring[Point]
	minutes ring[minute]
	// sum is the minute that is not over.
	sum minuteSum
	allocation
	// ended: no sample comes any more.
	ended bool
}

func (s *series) add(sample policy.Sample) {
	over := sample.At - s.from.At

	switch {
	case !s.known:
		s.begin(sample)

		return
	case over < HistoryStep-late:
		return
	}

	s.points.add(Point{
		At: sample.At, Over: over,
		CPU:        rate(s.from.CPU, sample.CPU, over),
		TX:         rate(s.from.TX, sample.TX, over),
		RX:         rate(s.from.RX, sample.RX, over),
		Allocation: math.NaN(),
		Throttled:  share(sample.Throttled, s.from.Throttled, sample.Periods, s.from.Periods),
	}, HistoryPoints)

	s.from = sample
	s.unscraped++
	s.scrape(sample.Allocation, sample.At)
}

// addToMinute adds a point that is complete. A gap stays one: what is on both of its sides is not averaged.
func (s *series) addToMinute(point Point) {
	if point.At-point.Over > s.sum.at {
		s.closeMinute()
	}

	s.sum.add(point)

	if s.sum.over >= time.Minute-late {
		s.closeMinute()
	}
}

// closeMinute ends the average, before the minute is over if it must.
func (s *series) closeMinute() {
	if s.sum.over > 0 {
		s.minutes.add(s.sum.average(), HistoryMinutes)
	}

	s.sum = minuteSum{}
}

// end leaves the averages over a minute alone.
func (s *series) end() {
	s.complete(s.unscraped)
	s.closeMinute()

	*s = series{minutes: s.minutes, ended: true}
}

// last is the end of the newest average over a minute; 0 without one.
func (s *series) last() time.Duration { return time.Duration(s.minutes.newest().At) }

func (s *series) fine() []Point {
	points := s.points.all()

	var before []Point

	for _, m := range s.minutes.all() {
		if len(points) == 0 || time.Duration(m.At) <= points[0].At-points[0].Over {
			before = append(before, m.point())
		}
	}

	return slices.Concat(before, points)
}

func (s *series) coarse() []Point {
	var points []Point

	for _, m := range s.minutes.all() {
		points = append(points, m.point())
	}

	last := s.last()

	for _, p := range s.points.all() {
		if p.At > last {
			points = append(points, p)
		}
	}

	return points
}

// rate returns a counter's increase per second, NaN if it is unavailable or above maxFigure.
func rate(from, to policy.Counter, over time.Duration) float64 {
	if from.Unavailable != "" || to.Unavailable != "" || over <= 0 || to.Total < from.Total {
		return math.NaN()
	}

	// A total of the target's own metrics can be any number. A history with it would be saved, but not loaded.
	perSecond := (to.Total - from.Total) / over.Seconds()
	if perSecond > maxFigure {
		return math.NaN()
	}

	return perSecond
}

// share returns the share of CFS periods with throttling, 0 if there was no period.
func share(throttled, throttledFrom, periods, periodsFrom uint64) float64 {
	switch {
	case periods < periodsFrom || throttled < throttledFrom:
		return math.NaN()
	case periods == periodsFrom:
		return 0
	default:
		return float64(throttled-throttledFrom) / float64(periods-periodsFrom)
	}
}
