// SPDX-License-Identifier: MPL-2.0

package policy

import "time"

// buckets is the resolution of an endurance with dips; the configuration's least dip is a little more than one of them.
const buckets = 128

// endurance measures whether a value was above a threshold for the needed time, within that time and the tolerated
// dips. It is never reached before the needed time was spent above, and more time above never reaches it later:
// simpler ways to tolerate dips lack one of the two.
type endurance struct {
	need time.Duration
	// tolerance is how much time may lie below in between; without it the ring is not used.
	tolerance time.Duration

	ring    [buckets]time.Duration
	current int64
	sum     time.Duration
	below   time.Duration
}

func newEndurance(need time.Duration, dip float64) endurance {
	return endurance{need: need, tolerance: time.Duration(float64(need) * dip / (1 - dip))}
}

func (e *endurance) clear() {
	e.ring = [buckets]time.Duration{}
	e.sum, e.below = 0, 0
}

// step adds the time since the step before that was above and below; the rest was not measured.
func (e *endurance) step(at, above, below time.Duration) {
	e.evict(at)

	if above > 0 {
		e.below = 0
		e.sum += above
		e.ring[e.current%buckets] += above
	}

	e.below += below

	// From here on no window that reaches the needed time can hold what came before.
	if e.below > e.tolerance {
		e.clear()
	}
}

func (e *endurance) reached() bool { return e.sum >= e.need }

func (e *endurance) left() time.Duration { return max(0, e.need-e.sum) }

// evict removes what lies further back than the needed time and the dips together. Without dips there is nothing to
// remove: one moment below clears everything.
func (e *endurance) evict(at time.Duration) {
	length := (e.need + e.tolerance) / buckets
	if e.tolerance == 0 || length <= 0 {
		return
	}

	now := int64(at / length)

	if now-e.current >= buckets {
		e.ring, e.sum = [buckets]time.Duration{}, 0
		e.current = now
	}

	for e.current < now {
		e.current++

		slot := &e.ring[e.current%buckets]
		e.sum -= *slot
		*slot = 0
	}
}
