// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/test/node"
)

// readings are the kernel's counters of a pod over time, read by the test, to compare with what the guard reports.
type readings struct {
	pod *node.Pod
	all []reading
}

type reading struct {
	// at and end are CLOCK_BOOTTIME, as the guard's samples have it, before and after the counters were read.
	at, end time.Duration
	cpuMax  string
	counted
}

// read reads the clock before and after the counters. It repeats what the machine has paused, but not without end: a machine may always
// be slow, and the shortest one is taken.
func (r *readings) read(t *testing.T) reading {
	t.Helper()

	const tries, most = 10, 20 * time.Millisecond

	var best reading

	for try, shortest := 0, time.Duration(math.MaxInt64); try < tries && shortest > most; try++ {
		next := reading{at: boottime.Now(), cpuMax: cpuMax(t, r.pod), counted: count(t, r.pod)}

		next.end = boottime.Now()

		if took := next.end - next.at; took < shortest {
			best, shortest = next, took
		}
	}

	r.all = append(r.all, best)

	return best
}

// during reads while a guard starts, from before it does: on a slow machine its first sample is long before it serves.
func (r *readings) during(t *testing.T, start func() (*node.Guard, error)) (*node.Guard, error) {
	t.Helper()
	r.read(t)

	var (
		guard *node.Guard
		err   error
	)

	started := make(chan struct{})

	go func() {
		defer close(started)

		guard, err = start()
	}()

	for {
		select {
		case <-started:
			return guard, err
		case <-time.After(50 * time.Millisecond):
			r.read(t)
		}
	}
}

// newReadLoop is like newLoop. The first reading is from before the guard starts, so that no usage that it reports begins earlier: what it
// reports from before a trip reaches back by a number of samples, which on a slow machine is a long time.
func newReadLoop(t *testing.T, document string) (*loop, *readings) {
	t.Helper()

	r := &readings{}
	l := newLoopWith(t, nil, func(l *loop) (*node.Guard, error) {
		r.pod = l.spegel

		return r.during(t, func() (*node.Guard, error) { return l.node.StartGuard(t.Context(), document) })
	})

	r.read(t)

	return l, r
}

// until reads until the condition holds.
func (r *readings) until(t *testing.T, l *loop, what string, condition func(reading) bool) reading {
	t.Helper()

	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if last := r.read(t); condition(last) {
			return last
		}

		if time.Now().After(deadline) {
			require.Fail(t, what, "not within %s: %+v\n--- guard ---\n%s", patience, r.all[len(r.all)-1], l.guard.Log)
		}
	}
}

// total returns CPU time in core-seconds and the bytes sent at a time, interpolated between two readings.
func (r *readings) total(t *testing.T, at time.Duration) (coreSeconds, tx float64) {
	t.Helper()

	for i := 1; i < len(r.all); i++ {
		a, b := r.all[i-1], r.all[i]
		if at < a.at || at > b.at {
			continue
		}

		part := float64(at-a.at) / float64(b.at-a.at)

		return (float64(a.usage) + part*float64(b.usage-a.usage)) / 1e6, float64(a.tx) + part*float64(b.tx-a.tx)
	}

	require.Fail(t, "no readings", "around %s: they cover %s to %s", at, r.all[0].at, r.all[len(r.all)-1].at)

	return 0, 0
}

// around returns the last reading that ended before a sample of the guard, and the first one that began a while after it, or the last one
// of all. The counters only grow, so those of the sample lie between them. The guard reads them after the clock of the sample.
func (r *readings) around(t *testing.T, clock time.Duration) (before, after reading) {
	t.Helper()

	const late = 100 * time.Millisecond

	for _, next := range r.all {
		if next.end <= clock {
			before = next
		}

		if next.at >= clock {
			after = next
		}

		if next.at >= clock+late {
			break
		}
	}

	if before.end == 0 || after.end == 0 {
		require.Fail(t, "no readings", "around %s: they cover %s to %s", clock, r.all[0].at, r.all[len(r.all)-1].at)
	}

	return before, after
}

// assertUsage compares a usage that the guard reports between two samples with the readings around them, and allows 20 %.
func (r *readings) assertUsage(t *testing.T, name string, usage resources.Usage, from, to time.Duration) {
	t.Helper()

	const margin = 0.2

	startBefore, startAfter := r.around(t, from)
	endBefore, endAfter := r.around(t, to)

	between := func(figure string, reported float64, unit string, least, most float64) {
		t.Helper()

		seconds := usage.Over.Seconds()
		t.Logf("%-6s %6s: %.3f %s; the kernel: %.3f to %.3f", name, usage.Over.Round(10*time.Millisecond), reported/seconds, unit, least/seconds, most/seconds)
		assert.GreaterOrEqual(t, reported, (1-margin)*least, "%s: %s", name, figure)
		assert.LessOrEqual(t, reported, (1+margin)*most, "%s: %s", name, figure)
	}

	between("CPU", usage.CoreSeconds, "cores",
		(float64(endBefore.usage)-float64(startAfter.usage))/1e6, (float64(endAfter.usage)-float64(startBefore.usage))/1e6)
	between("TX", usage.TXBytes, "B/s", float64(endBefore.tx)-float64(startAfter.tx), float64(endAfter.tx)-float64(startBefore.tx))
}

// rate returns the cores and the bytes per second from one time to another.
func (r *readings) rate(t *testing.T, from, to time.Duration) (cores, tx float64) {
	t.Helper()

	usage, sent := r.total(t, from)
	usageTo, sentTo := r.total(t, to)

	return (usageTo - usage) / (to - from).Seconds(), (sentTo - sent) / (to - from).Seconds()
}
