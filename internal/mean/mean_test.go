// SPDX-License-Identifier: MPL-2.0

package mean_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/internal/mean"
)

func TestMean(t *testing.T) {
	var m mean.Mean

	assert.True(t, math.IsNaN(m.Value()), "of no time")

	m.Add(math.NaN(), time.Hour)
	m.Add(5, 0)
	m.Add(5, -time.Minute)
	assert.True(t, math.IsNaN(m.Value()), "of no known time")

	m.Add(1, 30*time.Second)
	m.Add(4, 10*time.Second)
	assert.InDelta(t, 1.75, m.Value(), 1e-12)
	assert.InDelta(t, 40, m.Seconds(), 1e-12)
}
