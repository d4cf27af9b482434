// SPDX-License-Identifier: MPL-2.0

package policy

import "time"

// When a workload counts as throttled. Its usage under a quota cannot show how much more it would use; the time it is
// held back can. A calm Go program is throttled in many of the few periods it runs in, when a garbage collection
// spends the quota at once, so throttling counts only when it also costs time.
const (
	throttledPeriods = 0.1
	throttledTime    = 0.05

	demandWindow = time.Minute
)

// demand measures how far the workload is held back by its quota.
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
	if sample.CPU.Unavailable != "" {
		d.reset()

		return
	}

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

// ratio returns the share of the enforcement periods with throttling.
func (d *demand) ratio() float64 {
	periods, _ := d.periods.delta()
	throttled, _ := d.throttled.delta()

	return share(throttled, periods)
}

// heldBack returns the share of time in which the workload was held back: by the throttled time of all CPUs
// together, or by tasks that waited, whichever is more.
func (d *demand) heldBack() float64 {
	throttled, covered := d.time.delta()
	pressure, pressureCovered := d.pressure.delta()

	return min(1, max(share(throttled, covered.Seconds()), share(pressure, pressureCovered.Seconds())))
}

// isThrottled reports whether the workload is held back by its quota.
func (d *demand) isThrottled() bool {
	return d.ratio() >= throttledPeriods && d.heldBack() >= throttledTime
}
