// SPDX-License-Identifier: MPL-2.0

package compare

import (
	"math"
	"slices"
)

const (
	// consistency makes the median absolute deviation of a normal distribution its standard deviation.
	consistency = 1.4826
	// cut is the score from which on a value is odd (Iglewicz and Hoaglin, 1993).
	cut = 3.5
	// leastSpread is the least spread of the other nodes, as a share of their median. Without it any difference to
	// equal nodes would be odd.
	leastSpread = 0.05
	// leastRatio to the others' median, below which nothing is odd.
	leastRatio = 1.25
)

// ranked are sorted values.
type ranked []float64

func rank(values []float64) ranked { return slices.Sorted(slices.Values(values)) }

// median returns the median without the value at an index; -1 includes all values.
func (r ranked) median(without int) float64 {
	count := len(r)
	if without >= 0 {
		count--
	}

	at := func(i int) float64 {
		if without >= 0 && i >= without {
			i++
		}

		return r[i]
	}

	switch {
	case count == 0:
		return 0
	case count%2 == 1:
		return at(count / 2)
	default:
		return (at(count/2-1) + at(count/2)) / 2
	}
}

// deviation returns the median absolute deviation from a center without the value at an index.
func (r ranked) deviation(center float64, without int) float64 {
	// The values are sorted, so that the distances from the center are two sorted lists, which are merged up to their middle.
	above, _ := slices.BinarySearch(r, center)
	below := above - 1

	count := len(r)
	if without >= 0 {
		count--
	}

	if count == 0 {
		return 0
	}

	next := func() float64 {
		if below == without && below >= 0 {
			below--
		}

		if above == without {
			above++
		}

		if below < 0 || above < len(r) && r[above]-center < center-r[below] {
			above++

			return r[above-1] - center
		}

		below--

		return center - r[below+1]
	}

	before, last := 0.0, 0.0

	for range count/2 + 1 {
		before, last = last, next()
	}

	if count%2 == 1 {
		return last
	}

	return (before + last) / 2
}

// standing compares a value with those of the other nodes. In a small fleet its own value would raise the median.
type standing struct {
	median, score, ratio float64
	odd                  bool
}

func (r ranked) standing(value float64, metric Metric) standing {
	index, _ := slices.BinarySearch(r, value)
	median := r.median(index)
	spread := max(consistency*r.deviation(median, index), leastSpread*median, material[metric]/cut)

	s := standing{median: median, score: (value - median) / spread}

	// A median close to 0 has no ratio that JSON can write.
	if ratio := value / median; median > 0 && !math.IsInf(ratio, 1) {
		s.ratio = ratio
	}

	s.odd = len(r) > 1 && s.score >= cut && value-median >= material[metric] && value >= leastRatio*median

	return s
}
