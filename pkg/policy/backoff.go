// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"math"
	"sort"
	"time"
)

// backoff makes holds longer the more often a workload trips.
type backoff struct {
	hold   time.Duration
	config Backoff
	// level is how many trips still count.
	level int
	// released is when the last hold ended.
	released time.Duration
}

// next returns the hold of a trip now. Each config.Max without a hold has removed one level, so that within any config.Max
// no level is lost, and each hold that begins in it is longer than the one before.
func (b *backoff) next(at time.Duration) time.Duration {
	if b.level > 0 && at > b.released {
		b.level -= min(b.level, int((at-b.released)/b.config.Max))
	}

	return b.again()
}

// again returns the hold after a probe that failed: the level stays.
func (b *backoff) again() time.Duration {
	hold := b.length(b.level)
	if hold < b.config.Max {
		b.level++
	}

	return hold
}

// repeat returns a hold that is not longer than the newest one, for a probe that could not measure: the level stays as it is.
func (b *backoff) repeat() time.Duration { return b.length(max(0, b.level-1)) }

func (b *backoff) length(level int) time.Duration {
	return time.Duration(min(float64(b.config.Max), float64(b.hold)*math.Pow(b.config.Factor, float64(level))))
}

// adopt estimates the level from a hold of an earlier process.
func (b *backoff) adopt(hold time.Duration) {
	b.level = 1

	// A factor of 1 has no levels. One close to it has billions, of which no more are saved than maxLevel.
	if b.length(1) > b.length(0) {
		b.level += sort.Search(maxLevel-1, func(level int) bool { return b.length(level) >= hold || b.length(level+1) >= b.config.Max })
	}
}
