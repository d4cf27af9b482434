// SPDX-License-Identifier: MPL-2.0

package observe

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

func TestCounter_Rate(t *testing.T) {
	type reading struct {
		at    time.Duration
		value float64
		want  resources.Reading
	}

	wentBack := resources.Unavailable(reasonWentBack)

	for name, test := range map[string]struct {
		counter  Counter
		readings []reading
	}{
		"of the kernel": {readings: []reading{
			{time.Second, 5, resources.Warming()},
			{3 * time.Second, 10, resources.Measured(2.5)},
			{3 * time.Second, 10, resources.Measured(0)}, // no time passed
			{4 * time.Second, 2, resources.Measured(0)},  // reset
			{5 * time.Second, 4, resources.Measured(2)},
		}},
		"of an application": {counter: Counter{Distrust: 2}, readings: []reading{
			{time.Second, 5, resources.Warming()},
			{time.Second, 5, resources.Warming()},
			{2 * time.Second, 6, resources.Measured(1)},
			{3 * time.Second, 1, wentBack},
			{4 * time.Second, 2, wentBack},
			{5 * time.Second, 3, resources.Measured(1)},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, reading := range test.readings {
				assert.Equal(t, reading.want, test.counter.Rate(reading.at, reading.value, 1), "at %s", reading.at)
			}

			test.counter.Lose()
			assert.Equal(t, resources.Warming(), test.counter.Rate(time.Minute, 100, 1))
		})
	}

	microseconds := Counter{}
	microseconds.Rate(time.Second, 0, 1e6)
	assert.Equal(t, resources.Measured(1.8), microseconds.Rate(2*time.Second, 1.8e6, 1e6))
}

func TestShare(t *testing.T) {
	var throttled, periods Counter

	assert.Equal(t, resources.Warming(), share(&throttled, &periods, time.Second, 0, 0))
	assert.Equal(t, resources.Measured(0.25), share(&throttled, &periods, 2*time.Second, 10, 40))
	assert.Equal(t, resources.Measured(0), share(&throttled, &periods, 3*time.Second, 10, 40), "no period passed")
}
