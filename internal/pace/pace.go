// SPDX-License-Identifier: MPL-2.0

// Package pace lets the periodic work of a process be done at common moments. A wake-up of an idle process costs more than
// most of this work: the benchmark (make bench-native) has the figures.
package pace

import (
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// phase is added to the time of day, so that the guards of a cluster do not work at the same moment.
var phase atomic.Int64

// Spread gives this process moments of its own. Without it they are the multiples of an interval since 1970.
func Spread() { phase.Store(rand.Int64N(int64(time.Hour))) } //nolint:gosec // it is no secret

// early is the share of an interval before a moment in which the moment counts as over: a timer ends by the monotonic clock,
// and the time of day may be slewed against it.
const early = 8

// Over reports whether the time since the last work of an interval is enough for the next, at a moment of Next: what was late the last
// time is on time now, a bit less than an interval later.
func Over(since, interval time.Duration) bool { return since >= interval-interval/early }

// Next returns the time until the next moment of an interval: at least an eighth of it, and less than nine eighths. Intervals that
// divide each other have common moments.
func Next(interval time.Duration) time.Duration {
	rest := interval - time.Duration((time.Now().UnixNano()+phase.Load())%int64(interval))
	if rest < interval/early {
		rest += interval
	}

	return rest
}
