// SPDX-License-Identifier: MPL-2.0

package policy

// Every node draws the level that its buckets start with: after a rollout, bursts that all nodes see at the same
// time must not lead to a ceiling on all of them at the same time.
const (
	leastStart = 0.75
	// afterRelease is the lowest level after a release, or the first moment would empty the bucket again.
	afterRelease = 0.5
)

// credit is a token bucket in the signal's unit times seconds: core-seconds or bytes.
type credit struct {
	earn, capacity, level float64
}

// newCredit returns a bucket that starts at a level drawn by random, a number of [0,1).
func newCredit(rule Rule, random float64) credit {
	capacity := rule.Credit.Capacity

	return credit{earn: rule.Threshold, capacity: capacity, level: capacity * (leastStart + (1-leastStart)*random)}
}

func (c *credit) step(spent, seconds float64) {
	c.level = max(0, min(c.capacity, c.level+c.earn*seconds-spent))
}

func (c *credit) empty() bool { return c.level <= 0 }

func (c *credit) refill() { c.level = max(c.level, afterRelease*c.capacity) }
