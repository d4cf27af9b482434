// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestOdometer_CountsWhatWasUsedInAGap: counters are cumulative, so a reading that is missing loses nothing, except where a division lies
// within the gap.
func TestOdometer_CountsWhatWasUsedInAGap(t *testing.T) {
	// Readings of one second each: missing is one that is unavailable, divide and reset are no readings.
	const missing, divide, reset = -1, -2, -3

	for name, test := range map[string]struct {
		readings []float64
		// before and after the last division.
		before, after float64
	}{
		"no gap":                {[]float64{0, 100, 300}, 0, 300},
		"gap":                   {[]float64{0, 100, missing, missing, 400}, 0, 400},
		"begins with a gap":     {[]float64{missing, 100, 300}, 0, 200},
		"ends with a gap":       {[]float64{0, 100, missing}, 0, 100},
		"division":              {[]float64{0, 100, divide, 300}, 100, 200},
		"division before a gap": {[]float64{0, 100, divide, missing, 400}, 100, 300},
		"division in a gap":     {[]float64{0, 100, missing, divide, 400, 500}, 100, 100},
		"division after a gap":  {[]float64{0, 100, missing, 400, divide, 500}, 400, 100},
		"another container":     {[]float64{0, 100, reset, 50, 60}, 0, 110},
		"another one in a gap":  {[]float64{0, 100, missing, reset, 50, 60}, 0, 110},
	} {
		t.Run(name, func(t *testing.T) {
			var (
				o      odometer
				sample Sample
				from   Usage
			)

			for _, value := range test.readings {
				switch value {
				case divide:
					from = o.divide()

					continue
				case reset:
					o.reset()

					continue
				}

				counter := Counter{Total: value}
				if value == missing {
					counter = Counter{Unavailable: "why"}
				}

				sample.At += time.Second
				sample.CPU, sample.TX, sample.RX, sample.MirrorRequests, sample.MirrorHits, sample.Unready = counter, counter, counter, counter, counter, counter
				o.add(&sample)
			}

			amounts := func(u Usage) []float64 {
				return []float64{u.CoreSeconds, u.TXBytes, u.RXBytes, u.MirrorRequests, u.MirrorHits, u.UnreadySeconds}
			}
			all := func(value float64) []float64 { return []float64{value, value, value, value, value, value} }

			assert.Equal(t, all(test.before), amounts(from))
			assert.Equal(t, all(test.after), amounts(o.total.minus(from)))
		})
	}
}

// TestOdometer_CountsScrapesAfterADivision: one that was requested before the division has usage of both sides.
func TestOdometer_CountsScrapesAfterADivision(t *testing.T) {
	var o odometer

	read := func(at, requested time.Duration, total float64) {
		o.add(&Sample{At: at, Allocation: Counter{Total: total, At: requested}})
	}

	read(10*time.Second, 5*time.Second, 0)
	from := o.divide()

	read(11*time.Second, 9*time.Second, 500) // was in flight
	read(21*time.Second, 19*time.Second, 700)
	assert.Zero(t, o.total.minus(from).AllocatedOver)

	read(31*time.Second, 29*time.Second, 900)
	assert.Equal(t, 10*time.Second, o.total.minus(from).AllocatedOver)
	assert.InDelta(t, 200, o.total.minus(from).AllocatedBytes, 0)
}
