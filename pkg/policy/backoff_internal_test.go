// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"
)

// TestBackoff_AdoptsLevelOfHold: the level is the first one whose hold is as long as the one found, or the highest.
func TestBackoff_AdoptsLevelOfHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := backoff{
			hold: time.Duration(rapid.IntRange(1, 3600).Draw(t, "hold")) * time.Second,
			config: Backoff{
				Factor: rapid.OneOf(rapid.Just(1.0), rapid.Float64Range(1.01, 10)).Draw(t, "factor"),
				Max:    time.Duration(rapid.IntRange(1, 24).Draw(t, "max")) * time.Hour,
			},
		}
		found := time.Duration(rapid.IntRange(1, 24*3600).Draw(t, "found")) * time.Second

		want := 1
		for b.length(want-1) < found && b.length(want) < b.config.Max && b.length(want) > b.length(want-1) {
			want++
		}

		b.adopt(found)
		assert.Equal(t, want, b.level)
	})
}

// TestBackoff_AdoptsWithFactorCloseToOne: a hold of a day is that of billions of levels, and the level must be one that can be saved.
func TestBackoff_AdoptsWithFactorCloseToOne(t *testing.T) {
	b := backoff{hold: time.Second, config: Backoff{Factor: 1.000000002, Max: 24 * time.Hour}}

	b.adopt(24 * time.Hour)
	assert.Equal(t, maxLevel, b.level)
}
