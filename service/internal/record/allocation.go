// SPDX-License-Identifier: MPL-2.0

package record

import (
	"cmp"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/mean"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// maxUnscraped is the maximum of points that wait for a scrape. Those between two scrapes are fewer: an interval of target.metrics is at
// most a minute.
const maxUnscraped = 30

// allocation has the points of a series that end after the last scrape. Application metrics are scraped less often than samples are taken,
// so a point begins to have an allocation when a scrape comes.
type allocation struct {
	// scraped is the newest counter, with its time.
	scraped policy.Counter
	// unscraped is how many of the newest points end after it.
	unscraped int
	// part is the average of the oldest of them before it.
	part mean.Mean
}

// scrape fills in what was allocated since the last scrape. A counter without a time of its own was read with the sample.
func (s *series) scrape(to policy.Counter, sampled time.Duration) {
	to.At = cmp.Or(to.At, sampled)
	from := s.scraped

	switch {
	case to.Unavailable != "":
		s.complete(s.unscraped)
	case from.Unavailable == "" && from.At == to.At:
		s.complete(max(0, s.unscraped-maxUnscraped))

		return
	default:
		s.fill(rate(from, to, to.At-from.At), from.At, to.At)
	}

	s.scraped = to
}

// fill gives the points between two scrapes their allocation, and completes those that end before the second one.
func (s *series) fill(perSecond float64, from, to time.Duration) {
	for s.unscraped > 0 {
		point := s.points.recent(s.unscraped - 1)

		s.part.Add(perSecond, min(point.At, to)-max(point.At-point.Over, from))
		point.Allocation = s.part.Value()

		if point.At > to {
			return
		}

		s.complete(1)
	}
}

// complete adds the oldest points that wait for a scrape to their minutes: their allocation does not change any more.
func (s *series) complete(count int) {
	for range count {
		s.addToMinute(*s.points.recent(s.unscraped - 1))
		s.part = mean.Mean{}
		s.unscraped--
	}
}

// begin starts with the first sample of a container.
func (s *series) begin(sample policy.Sample) {
	s.complete(s.unscraped)

	s.from, s.known, s.scraped = sample, true, sample.Allocation
	s.scraped.At = cmp.Or(sample.Allocation.At, sample.At)
}
