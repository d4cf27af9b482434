// SPDX-License-Identifier: MPL-2.0

package policy

import "time"

// buckets is how finely an endurance with dips is kept; config's least dip is a little more than one of them.
const buckets = 128

// endurance tells when something has been so for long enough: for the needed time, within that time
// and the tolerated dips. It has two properties that simpler ways of tolerating dips lack: it is
// never reached before the needed time was spent above, and more time above never reaches it later.
type endurance struct {
	need time.Duration
	// tolerance is how much may lie below in between; the ring is not needed without.
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

// step adds what passed since the step before: above, below, or not seen.
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

// evict forgets what lies further back than the needed time and the dips together. Without dips
// nothing does: one moment below clears everything.
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
