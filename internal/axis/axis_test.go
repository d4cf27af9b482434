// SPDX-License-Identifier: MPL-2.0

package axis_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"

	"github.com/spegel-guard/spegel-guard/internal/axis"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

func TestMarks_AreRound(t *testing.T) {
	for _, test := range []struct {
		name    string
		signal  policy.Signal
		highest float64
		want    []string
	}{
		{"cores", policy.SignalCPU, 1.98, []string{"500m", "1000m", "1500m"}},
		{"highest is a mark", policy.SignalCPU, 2, []string{"500m", "1000m", "1500m", "2000m"}},
		{"quarters", policy.SignalCPU, 1.1, []string{"250m", "500m", "750m", "1000m"}},
		{"no half of the resolution", policy.SignalCPU, 0.011, []string{"5m", "10m"}},
		{"thousandths", policy.SignalCPU, 0.003, []string{"1m", "2m", "3m"}},
		{"below the resolution", policy.SignalCPU, 0.0009, nil},
		{"bytes per second", policy.SignalNetworkTX, 1.54e6, []string{"500 kB/s", "1.0 MB/s", "1.5 MB/s"}},
		{"over a prefix", policy.SignalNetworkTX, 1.1e6, []string{"250 kB/s", "500 kB/s", "750 kB/s", "1.0 MB/s"}},
		{"bytes per minute", policy.SignalAllocation, 8.9e9 / 60, []string{"2.0 GB/min", "4.0 GB/min", "6.0 GB/min", "8.0 GB/min"}},
		{"percent", policy.SignalThrottled, 1.1, []string{"25 %", "50 %", "75 %", "100 %"}},
		{"few percent", policy.SignalCPUPressure, 0.033, []string{"1 %", "2 %", "3 %"}},
		{"nothing", policy.SignalCPU, 0, nil},
		{"infinite", policy.SignalCPU, math.Inf(1), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string

			for _, mark := range axis.Marks(test.highest, test.signal.Resolution()) {
				got = append(got, test.signal.Format(mark))
			}

			assert.Equal(t, test.want, got)
		})
	}
}

// TestMarks_AreAtMostFour, also where the arithmetic overflows.
func TestMarks_AreAtMostFour(t *testing.T) {
	for _, highest := range []float64{1e18, 1e300, 8e305, math.MaxFloat64} {
		assert.LessOrEqual(t, len(axis.Marks(highest, 0.001)), 4, highest)
	}
}

func TestLines_MarksAreRound(t *testing.T) {
	for _, test := range []struct {
		name        string
		signal      policy.Signal
		highest     float64
		height      int
		perMark     int
		first, last string
	}{
		{"highest is a mark", policy.SignalCPU, 2, 8, 2, "500m", "2000m"},
		{"little below a mark", policy.SignalCPU, 1.98, 8, 2, "500m", "2000m"},
		{"fewer marks that waste less", policy.SignalCPU, 1.98, 7, 3, "1000m", "2333m"},
		{"bytes per minute", policy.SignalAllocation, 8.9e9 / 60, 9, 2, "2.0 GB/min", "9.0 GB/min"},
		{"below the resolution", policy.SignalCPUPressure, 0.001, 8, 4, "1 %", "2 %"},
		{"one line", policy.SignalCPU, 0.55, 1, 1, "1000m", "1000m"},
		{"two lines", policy.SignalCPU, 0.55, 2, 1, "500m", "1000m"},
	} {
		t.Run(test.name, func(t *testing.T) {
			perMark, top := axis.Lines(test.highest, test.signal.Resolution(), test.height)
			assert.Equal(t, test.perMark, perMark)
			assert.Equal(t, test.first, test.signal.Format(top*float64(perMark)/float64(test.height)))
			assert.Equal(t, test.last, test.signal.Format(top))
		})
	}
}

// TestLines_Bounds: the highest value has a place, and most of the chart is used.
func TestLines_Bounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const resolution = 0.001

		highest := rapid.Float64Range(10*resolution, 1e18).Draw(t, "highest")
		height := rapid.IntRange(1, 100).Draw(t, "height")
		perMark, top := axis.Lines(highest, resolution, height)

		assert.GreaterOrEqual(t, top, highest*(1-1e-6))
		assert.LessOrEqual(t, height/perMark, 4)

		if height >= 4 {
			assert.LessOrEqual(t, top, 2*highest)
			assert.GreaterOrEqual(t, height/perMark, 2)
		}
	})
}
