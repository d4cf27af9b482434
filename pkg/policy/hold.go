// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"math"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/config"
)

// Hold is a ceiling that is wanted.
type Hold struct {
	// Rule that tripped.
	Rule string `json:"rule"`
	// Since is when it tripped, Until the earliest release.
	Since time.Duration `json:"since"`
	Until time.Duration `json:"until"`
	// Millicores is the ceiling, before the owner's own limit is taken into account.
	Millicores int64 `json:"millicores"`
	// Observe tells that only rules in mode observe tripped: nothing is to be written.
	Observe bool `json:"observe,omitempty"`
	// Probing tells that the ceiling is lifted, to see what demand is like without it.
	Probing bool `json:"probing,omitempty"`
}

// Enforced tells that a ceiling is to be in force now.
func (h Hold) Enforced() bool { return h.Rule != "" && !h.Observe && !h.Probing }

// backoff makes holds longer the more often a workload trips.
type backoff struct {
	hold   time.Duration
	config config.Backoff
	// level is how many trips are not forgotten.
	level int
	// freed is when the last hold ended.
	freed time.Duration
}

// next is the hold of a trip now. Each config.Max of freedom has taken one level back.
//
// So within any config.Max no level is lost, and each hold that begins in it is longer than the one
// before: see MaxTrips.
func (b *backoff) next(at time.Duration) time.Duration {
	if b.level > 0 && at > b.freed {
		b.level -= min(b.level, int((at-b.freed)/b.config.Max.Duration))
	}

	return b.again()
}

// again is the hold after a probe that failed: nothing is forgotten.
func (b *backoff) again() time.Duration {
	hold := b.length(b.level)
	if hold < b.config.Max.Duration {
		b.level++
	}

	return hold
}

func (b *backoff) length(level int) time.Duration {
	longest := float64(b.config.Max.Duration)

	return time.Duration(min(longest, float64(b.hold)*math.Pow(b.config.Factor.Value, float64(level))))
}

// takeOver guesses the level from a hold that an earlier process left.
func (b *backoff) takeOver(hold time.Duration) {
	for b.level = 1; b.length(b.level-1) < hold && b.length(b.level) < b.config.Max.Duration && b.length(b.level) > b.length(b.level-1); {
		b.level++
	}
}

// MaxTrips is how often, at the most, one workload trips or fails a probe within any time as long as
// the back-off's longest hold, whatever it does. Holds that a person ended (Sample.Suspended) come on top.
func MaxTrips(ceiling config.Ceiling) int {
	b := backoff{hold: ceiling.Hold.Duration, config: ceiling.Backoff}

	// Two trips less than Max apart have no Max of freedom between them, so each hold but the first is
	// a level above the one before.
	trips, held := 1, time.Duration(0)

	for level := 0; held < b.config.Max.Duration; trips++ {
		held += b.length(level)
		level++
	}

	return trips
}
