// SPDX-License-Identifier: MPL-2.0

package policy

import "time"

// When a workload counts as throttled. Usage under a quota is censored: it cannot show how much more the
// workload wants. What it is held back does; but a calm Go program is throttled in a good share of the
// few periods it runs in, when a garbage collection spends the quota at once, so it counts only when
// it also costs time.
const (
	throttledPeriods = 0.1
	throttledTime    = 0.05

	demandWindow = time.Minute
)

// demand is what the workload wants beyond its ceiling.
type demand struct {
	periods, throttled, time, pressure series
}

func newDemand(window time.Duration) demand {
	window = min(window, demandWindow)

	return demand{periods: newSeries(window), throttled: newSeries(window), time: newSeries(window), pressure: newSeries(window)}
}

func (d *demand) reset() {
	d.periods.reset()
	d.throttled.reset()
	d.time.reset()
	d.pressure.reset()
}

func (d *demand) add(sample *Sample) {
	d.periods.add(sample.At, float64(sample.Periods))
	d.throttled.add(sample.At, float64(sample.Throttled))
	d.time.add(sample.At, sample.ThrottledTime)

	pressure := sample.Pressure.checked()
	if pressure.Unavailable == "" {
		d.pressure.add(sample.At, pressure.Total)
	} else {
		d.pressure.reset()
	}
}

// share is the share of enforcement periods with throttling.
func (d *demand) share() float64 {
	periods, _ := d.periods.delta()
	throttled, _ := d.throttled.delta()

	return share(throttled, periods)
}

// heldBack is the share of time in which something was held back: by the throttled time of all
// processors together, or by tasks that waited, whichever is more.
func (d *demand) heldBack() float64 {
	throttled, covered := d.time.delta()
	pressure, pressureCovered := d.pressure.delta()

	return min(1, max(share(throttled, covered.Seconds()), share(pressure, pressureCovered.Seconds())))
}

func (d *demand) isThrottled() bool {
	return d.share() >= throttledPeriods && d.heldBack() >= throttledTime
}
