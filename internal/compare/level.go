// SPDX-License-Identifier: MPL-2.0

package compare

// Level is the usual level of a metric on one node. It is robust: what the node does less than half of the time changes it
// little.
type Level struct {
	Median float64
	// Spread is a robust standard deviation: 1.4826 times the median absolute deviation, at least 5 % of the median.
	Spread float64
	// Values is how many values it is the level of.
	Values int
}

// LevelOf returns the level of values; the zero Level of none.
func LevelOf(values []float64) Level {
	sorted := rank(values)
	median := sorted.median(-1)

	return Level{Median: median, Spread: max(consistency*sorted.deviation(median, -1), leastSpread*median), Values: len(values)}
}

// High returns the highest usual value. Above it a value is an outlier.
func (l Level) High() float64 { return l.Median + cut*l.Spread }
