// SPDX-License-Identifier: MPL-2.0

// Package mean averages values over time.
package mean

import (
	"math"
	"time"
)

// Mean is the average of a value over the time in which it was known. The zero Mean is of no time.
type Mean struct{ sum, seconds float64 }

// Add adds a value that lasted for some time. NaN is not known, and what lasted for no time has no weight.
func (m *Mean) Add(value float64, over time.Duration) {
	if !math.IsNaN(value) && over > 0 {
		m.sum += value * over.Seconds()
		m.seconds += over.Seconds()
	}
}

// Seconds returns the time in which the value was known, in seconds.
func (m *Mean) Seconds() float64 { return m.seconds }

// Value returns the average; NaN if the value was never known.
func (m *Mean) Value() float64 { return m.sum / m.seconds }
