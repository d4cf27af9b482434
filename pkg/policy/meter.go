// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"cmp"
	"time"
)

// meter turns a signal's counters into its average over a window.
type meter struct {
	*signal

	numerator, denominator series

	unavailable string
	value       float64
	covered     time.Duration
	// spent is the integral of the signal since the sample before, over elapsed seconds.
	spent, elapsed float64
	last           reading
	// mark is the first reading of a probe, and probed when the probe began.
	mark   reading
	probed time.Duration
}

// reading is a signal's counters at a time.
type reading struct {
	at                     time.Duration
	numerator, denominator float64
	valid                  bool
}

func newMeter(name Signal, window time.Duration) meter {
	m := meter{signal: name.row(), numerator: newSeries(window)}

	if m.whole != nil {
		m.denominator = newSeries(window)
	}

	return m
}

func (m *meter) reset() {
	m.numerator.reset()
	m.denominator.reset()
	m.last, m.mark = reading{}, reading{}
	m.covered, m.value, m.spent, m.elapsed = 0, 0, 0, 0
}

// add takes a sample. The value is valid when covered is above 0.
func (m *meter) add(sample *Sample) {
	counter := m.counter(sample).checked()

	if counter.Unavailable != "" {
		m.reset()
		m.unavailable = counter.Unavailable

		return
	}

	m.unavailable = ""
	m.spent, m.elapsed = 0, 0

	now := reading{at: cmp.Or(counter.At, sample.At), numerator: counter.Total, valid: true}
	if m.last.valid && now.at <= m.last.at {
		return // nothing newer was read
	}

	if m.whole != nil {
		now.denominator = m.whole(sample)
	}

	if m.last.valid && (now.numerator < m.last.numerator || now.denominator < m.last.denominator) {
		m.reset()
	}

	if m.last.valid {
		m.elapsed = (now.at - m.last.at).Seconds()
		m.spent = m.since(m.last, now) * m.elapsed
	}

	// What was read before the probe covers time under the ceiling.
	if !m.mark.valid && now.at >= m.probed {
		m.mark = now
	}

	m.last = now
	m.numerator.add(now.at, now.numerator)

	if m.whole != nil {
		m.denominator.add(now.at, now.denominator)
	}

	m.average()
}

func (m *meter) average() {
	delta, covered := m.numerator.delta()
	m.covered = covered

	switch {
	case covered <= 0:
		m.value = 0
	case m.whole != nil:
		whole, _ := m.denominator.delta()
		m.value = share(delta, whole)
	default:
		m.value = m.bounded(delta / covered.Seconds())
	}
}

// begin begins the average of a probe. A counter that is read less often than samples are taken has its first reading later.
func (m *meter) begin(at time.Duration) {
	m.probed, m.mark = at, reading{}

	if m.last.at >= at {
		m.mark = m.last
	}
}

// since returns the signal's average between two readings; 0 when no time passed.
func (m *meter) since(from, to reading) float64 {
	seconds := (to.at - from.at).Seconds()

	switch {
	case seconds <= 0:
		return 0
	case m.whole != nil:
		return share(to.numerator-from.numerator, to.denominator-from.denominator)
	default:
		return m.bounded((to.numerator - from.numerator) / seconds)
	}
}

// overWindow returns the average over the window.
func (m *meter) overWindow() float64 { return m.value }

// overProbe returns the average in the probe.
func (m *meter) overProbe() float64 {
	value, _ := m.sinceMark()

	return value
}

// sinceMark returns the average between the first and the newest reading of the probe, and how much time that is.
func (m *meter) sinceMark() (float64, time.Duration) {
	if !m.last.valid || !m.mark.valid {
		return 0, 0
	}

	return m.since(m.mark, m.last), m.last.at - m.mark.at
}

// bounded keeps a share of time at most 1: the kernel's totals move in steps.
func (m *meter) bounded(value float64) float64 {
	if m.unit == Ratio {
		return min(1, value)
	}

	return value
}

func share(part, whole float64) float64 {
	if whole <= 0 {
		return 0
	}

	return min(1, part/whole)
}
