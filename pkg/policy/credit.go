// SPDX-License-Identifier: MPL-2.0

package policy

import "github.com/spegel-guard/spegel-guard/pkg/config"

// Where a bucket starts. Every node draws its own level: after a rollout, bursts that all nodes see
// at the same time must not lead to a ceiling on all of them at the same time.
const (
	leastStart = 0.75
	// afterRelease is the least a bucket holds after a release, or its first moment would empty it again.
	afterRelease = 0.5
)

// credit is a token bucket in the signal's own unit times seconds: core-seconds, bytes.
type credit struct {
	earn, capacity, level float64
}

// newCredit starts with a level drawn by random, a number of [0,1).
func newCredit(rule config.Rule, random float64) credit {
	capacity := rule.Credit.Capacity.Bytes
	if !rule.Signal.Bytes() {
		capacity = rule.Credit.Capacity.Duration.Seconds()
	}

	return credit{earn: rule.Credit.Earn.Value, capacity: capacity, level: capacity * (leastStart + (1-leastStart)*random)}
}

func (c *credit) step(spent, seconds float64) {
	c.level = max(0, min(c.capacity, c.level+c.earn*seconds-spent))
}

func (c *credit) empty() bool { return c.level <= 0 }

func (c *credit) refill() { c.level = max(c.level, afterRelease*c.capacity) }
