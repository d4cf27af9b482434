// SPDX-License-Identifier: MPL-2.0

package observe

import (
	"math"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// Counter turns readings of a cumulative counter into rates. The zero Counter has no reading.
type Counter struct {
	// Distrust is for how many readings a counter that went back is unavailable. 0 takes it for a counter that was
	// reset, as those of the kernel are with their cgroup or link: its rate is 0 once.
	Distrust int

	value      float64
	at         time.Duration
	distrusted int
}

// reasonWentBack is the reason of a rate whose counter went back: the counters of a process never do while it lives.
const reasonWentBack = "the counter went back"

// Rate takes a reading at a time (CLOCK_BOOTTIME) and returns the increase per second since the one before, divided by
// unit: 1e6 for a counter of microseconds.
func (c *Counter) Rate(at time.Duration, value, unit float64) resources.Reading {
	before := *c
	increase := c.add(at, value)

	switch {
	case c.distrusted > 0:
		return resources.Unavailable(reasonWentBack)
	case before.at == 0 || c.Distrust > 0 && at <= before.at:
		return resources.Warming()
	case at <= before.at:
		return measured(0)
	default:
		return measured(increase / unit / (at - before.at).Seconds())
	}
}

// add takes a reading and returns the increase since the one before; 0 for the first, and for a counter that went back.
func (c *Counter) add(at time.Duration, value float64) float64 {
	before := *c
	c.value, c.at = value, at

	if before.at != 0 && value < before.value {
		c.distrusted = c.Distrust

		return 0
	}

	c.distrusted = max(0, c.distrusted-1)

	if before.at == 0 {
		return 0
	}

	return value - before.value
}

// Lose forgets the reading, not the distrust: the next rate is warming.
func (c *Counter) Lose() { c.value, c.at = 0, 0 }

// share returns the increase of one counter by that of another, for the first reading warming.
func share(part, whole *Counter, at time.Duration, partValue, wholeValue float64) resources.Reading {
	first := part.at == 0
	increase, total := part.add(at, partValue), whole.add(at, wholeValue)

	switch {
	case first:
		return resources.Warming()
	case total <= 0:
		return measured(0)
	default:
		return measured(increase / total)
	}
}

func measured(value float64) resources.Reading { return resources.Measured(Round(value)) }

// gauge is a value that is not a rate, or unavailable for a reason.
func gauge(value uint64, ok bool, reason string) resources.Reading {
	if !ok {
		return resources.Unavailable(reason)
	}

	return measured(float64(value))
}

// Round keeps three decimals: a thousandth of a core, and more than enough of a byte.
func Round(value float64) float64 { return math.Round(value*1000) / 1000 }
