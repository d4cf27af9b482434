// SPDX-License-Identifier: MPL-2.0

// Package axis has what the charts of the terminal and of the report have in common.
package axis

import (
	"math"
	"time"
)

// Gap is the time without points from which on no line is drawn. It is more than the step of the last hour's history, which is 10 s.
const Gap = 30 * time.Second

// maxMarks are the values at an axis, besides 0.
const maxMarks = 4

// Step returns the least round distance of two marks that is not below least: 1, 2, 2.5 or 5 times a power of ten of the resolution, which is
// the least difference that labels show. It is at least the resolution.
func Step(least, resolution float64) float64 {
	steps := least / resolution
	decade := math.Pow10(max(0, int(math.Floor(math.Log10(steps)))))

	for _, factor := range []float64{1, 2, 2.5, 5} {
		// Neither the division nor the multiplication is exact. A fraction of the resolution has no label of its own.
		if step := factor * decade; step >= steps*(1-1e-9) && step == math.Trunc(step) {
			return step * resolution
		}
	}

	return 10 * decade * resolution
}

// Marks returns round values up to highest, without 0, in ascending order: at most four, and none for an infinite highest.
func Marks(highest, resolution float64) []float64 {
	var marks []float64

	if highest > 0 && !math.IsInf(highest, 1) {
		step := Step(highest/(maxMarks+0.5), resolution)

		for n := 1; n <= maxMarks && float64(n)*step <= highest*(1+1e-9); n++ {
			marks = append(marks, float64(n)*step)
		}
	}

	return marks
}

// Lines returns an axis for a chart of a height in lines of text: the lines from one mark to the next, and the value at its top, which is at
// least highest. It has two to four marks where there is room.
func Lines(highest, resolution float64, height int) (perMark int, top float64) {
	for lines := height/(maxMarks+1) + 1; lines <= max(1, height/2); lines++ {
		marks := float64(height) / float64(lines)

		if end := Step(highest/marks, resolution) * marks; perMark == 0 || end < top {
			perMark, top = lines, end
		}
	}

	return perMark, top
}
