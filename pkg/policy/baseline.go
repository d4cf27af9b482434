// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"slices"
	"time"
)

// What a baseline is made of: the mean of each minute, the median of the means of an hour, and the median of the hours of the
// last 7 days. Half of the minutes and half of the hours can be unusual without a change of the result.
const (
	// BaselineHours is how many hours are kept.
	BaselineHours = 7 * 24

	minuteSeconds = 60
	// minHour is how much of an hour must have been measured for it to count, in seconds, and maxGap the longest time between
	// two readings that counts as measured.
	minHour = 1800
	maxGap  = 120
	// notCounted stands for the level of an hour that does not count, and maxUsual is the highest level of one that does, in the
	// signal's unit: a total of the target's own metrics can be any number.
	notCounted = -1
	maxUsual   = 1e15
)

// baseline is the usual level of a signal. It takes as much memory after a week as after a minute.
type baseline struct {
	name  Signal
	meter meter

	// spent is the integral of the signal over the elapsed seconds of the minute in progress.
	spent, elapsed float64
	// means of the minutes of the hour in progress, and how many seconds they cover.
	means   [time.Hour / time.Minute]float64
	n       int
	covered float64
	// hour in progress, since the boot; unusual is set when it does not count.
	hour    int64
	begun   bool
	unusual bool

	// levels of the hours before it: that of hour h is at h modulo BaselineHours.
	levels [BaselineHours]float64
	// usual is the median of those that count, hours how many they are.
	usual float64
	hours int
}

func newBaseline(name Signal) *baseline {
	b := &baseline{name: name, meter: newMeter(name, time.Minute)}

	for i := range b.levels {
		b.levels[i] = notCounted
	}

	return b
}

// reset drops the counters: those of the next container begin at zero. The levels belong to the workload.
func (b *baseline) reset() {
	b.meter.reset()
	b.spent, b.elapsed = 0, 0
}

// step takes a sample. An hour with an unusual one does not count. It reports whether an hour ended.
func (b *baseline) step(sample *Sample, unusual bool) bool {
	hour := int64(sample.At / time.Hour)
	ended := b.begun && hour > b.hour

	if ended {
		b.endHour(hour)
	}

	b.hour, b.begun = hour, true
	b.unusual = b.unusual || unusual

	b.meter.add(sample)
	b.measure()

	return ended
}

// measure adds what the meter measured since the sample before to the minute in progress.
func (b *baseline) measure() {
	if b.meter.unavailable != "" || b.meter.elapsed > maxGap {
		b.spent, b.elapsed = 0, 0

		return
	}

	b.spent += b.meter.spent
	b.elapsed += b.meter.elapsed

	if b.elapsed < minuteSeconds {
		return
	}

	if b.n < len(b.means) {
		b.means[b.n] = b.spent / b.elapsed
		b.n++
	}

	b.covered += b.elapsed
	b.spent, b.elapsed = 0, 0
}

// endHour keeps the level of the hour in progress and begins another one. Hours in between were not measured.
func (b *baseline) endHour(next int64) {
	level := float64(notCounted)
	if measured := median(b.means[:b.n]); !b.unusual && b.covered >= minHour && measured <= maxUsual {
		level = measured
	}

	*b.level(b.hour) = level

	for hour := max(b.hour+1, next-BaselineHours); hour < next; hour++ {
		*b.level(hour) = notCounted
	}

	b.n, b.covered, b.unusual = 0, 0, false
	b.learn()
}

// level returns the place of an hour's level. The time of a sample in a trace can be any number, also a negative one.
func (b *baseline) level(hour int64) *float64 {
	return &b.levels[(hour%BaselineHours+BaselineHours)%BaselineHours]
}

// learn computes the usual level.
func (b *baseline) learn() {
	counted := make([]float64, 0, BaselineHours)

	for _, level := range b.levels {
		if level != notCounted {
			counted = append(counted, level)
		}
	}

	b.usual, b.hours = median(counted), len(counted)
}

// learned returns how much time the usual level is of.
func (b *baseline) learned() time.Duration { return time.Duration(b.hours) * time.Hour }

// median sorts the values and returns their median; 0 for none.
func median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return 0
	}

	slices.Sort(values)

	return (values[(n-1)/2] + values[n/2]) / 2
}

// baselines are those of an engine, one for each signal that a rule with a baseline compares.
type baselines []*baseline

// of returns the baseline of a signal, a new one if there is none.
func (bs *baselines) of(name Signal) *baseline {
	for _, b := range *bs {
		if b.name == name {
			return b
		}
	}

	b := newBaseline(name)
	*bs = append(*bs, b)

	return b
}

// step takes a sample. It reports whether an hour ended.
func (bs baselines) step(sample *Sample, unusual bool) bool {
	ended := false

	for _, b := range bs {
		ended = b.step(sample, unusual) || ended
	}

	return ended
}

func (bs baselines) reset() {
	for _, b := range bs {
		b.reset()
	}
}
