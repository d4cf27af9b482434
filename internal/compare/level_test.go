// SPDX-License-Identifier: MPL-2.0

package compare_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/internal/compare"
)

func TestLevelOf_IgnoresASpinOfLessThanHalfTheTime(t *testing.T) {
	calm := []float64{0.10, 0.11, 0.09, 0.10, 0.12, 0.10, 0.11}

	usual := compare.LevelOf(calm)
	assert.InDelta(t, 0.10, usual.Median, 1e-9)
	assert.InDelta(t, 0.014826, usual.Spread, 1e-9)
	assert.InDelta(t, 0.151891, usual.High(), 1e-9)
	assert.Equal(t, 7, usual.Values)

	spun := compare.LevelOf(slices.Concat(calm, []float64{1.8, 1.8, 1.8}))
	assert.Less(t, spun.High(), 0.2)

	assert.Zero(t, compare.LevelOf(nil))

	// Equal values have a spread, too.
	assert.InDelta(t, 1.175, compare.LevelOf([]float64{1, 1, 1}).High(), 1e-9)
}
