// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"cmp"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/config"
)

// meter turns a signal's counters into its average over a window.
type meter struct {
	signal           config.Signal
	numerator, denom series
	// ratio tells that the denominator is a counter too, not time.
	ratio bool

	unavailable string
	value       float64
	covered     time.Duration
	// spent is the integral of the signal since the sample before, over elapsed seconds.
	spent, elapsed float64
	last           reading
	// mark is where a probe began.
	mark reading
}

type reading struct {
	at               time.Duration
	numerator, denom float64
	valid            bool
}

func newMeter(signal config.Signal, window time.Duration) meter {
	m := meter{signal: signal, ratio: signal == config.SignalThrottled, numerator: newSeries(window)}

	if m.ratio {
		m.denom = newSeries(window)
	}

	return m
}

func (m *meter) reset() {
	m.numerator.reset()
	m.denom.reset()
	m.last, m.mark = reading{}, reading{}
	m.covered, m.value, m.spent, m.elapsed = 0, 0, 0, 0
}

// add takes a sample. The value is only worth something when covered is more than nothing.
func (m *meter) add(sample *Sample) {
	counter, denom := sample.counters(m.signal)

	if counter.Unavailable != "" {
		m.reset()
		m.unavailable = counter.Unavailable

		return
	}

	m.unavailable = ""
	m.spent, m.elapsed = 0, 0

	at := cmp.Or(counter.At, sample.At)
	if m.last.valid && at <= m.last.at {
		return // nothing newer was read
	}

	now := reading{at: at, numerator: counter.Total, denom: denom, valid: true}

	if m.last.valid && (now.numerator < m.last.numerator || now.denom < m.last.denom) {
		m.reset()
	}

	if m.last.valid {
		m.elapsed = (now.at - m.last.at).Seconds()
		m.spent = m.since(m.last, now) * m.elapsed
	}

	if !m.mark.valid {
		m.mark = now
	}

	m.last = now
	m.numerator.add(now.at, now.numerator)

	if m.ratio {
		m.denom.add(now.at, now.denom)
	}

	m.average()
}

func (m *meter) average() {
	delta, covered := m.numerator.delta()
	m.covered = covered

	switch {
	case covered <= 0:
		m.value = 0
	case m.ratio:
		whole, _ := m.denom.delta()
		m.value = share(delta, whole)
	default:
		m.value = m.bounded(delta / covered.Seconds())
	}
}

// since is the signal's average between two readings; 0 when no time passed.
func (m *meter) since(from, to reading) float64 {
	seconds := (to.at - from.at).Seconds()

	switch {
	case seconds <= 0:
		return 0
	case m.ratio:
		return share(to.numerator-from.numerator, to.denom-from.denom)
	default:
		return m.bounded((to.numerator - from.numerator) / seconds)
	}
}

// sinceMark is the average since the mark, and how much time that is.
func (m *meter) sinceMark() (float64, time.Duration) {
	if !m.last.valid || !m.mark.valid {
		return 0, 0
	}

	return m.since(m.mark, m.last), m.last.at - m.mark.at
}

// bounded keeps a share of time a share: the kernel's totals move in steps.
func (m *meter) bounded(value float64) float64 {
	if m.signal == config.SignalCPUPressure {
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
