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
	// at is CLOCK_BOOTTIME, as the guard's samples have it.
	at     time.Duration
	cpuMax string
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

		if took := boottime.Now() - next.at; took < shortest {
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

// assertUsage compares a usage that the guard reports with the readings from one time to another. It allows 20 %, and what
// the workload uses in 100 ms at the rates of free, the usage without a ceiling: the clock of a sample and its counters are
// read one after the other.
func (r *readings) assertUsage(t *testing.T, name string, usage, free resources.Usage, from, to time.Duration) {
	t.Helper()

	const relative, late = 0.2, 100 * time.Millisecond

	cores, tx := r.rate(t, from, to)
	reported, reportedTX := usage.CoreSeconds/usage.Over.Seconds(), usage.TXBytes/usage.Over.Seconds()
	slack := late.Seconds() / free.Over.Seconds() / usage.Over.Seconds()

	t.Logf("%-6s %6s: %.3f cores, %.0f B/s; the kernel: %.3f cores, %.0f B/s", name, usage.Over.Round(10*time.Millisecond), reported, reportedTX, cores, tx)
	assert.InDelta(t, cores, reported, relative*cores+slack*free.CoreSeconds, "%s: cores", name)
	assert.InDelta(t, tx, reportedTX, relative*tx+slack*free.TXBytes, "%s: TX", name)
}

// rate returns the cores and the bytes per second from one time to another.
func (r *readings) rate(t *testing.T, from, to time.Duration) (cores, tx float64) {
	t.Helper()

	usage, sent := r.total(t, from)
	usageTo, sentTo := r.total(t, to)

	return (usageTo - usage) / (to - from).Seconds(), (sentTo - sent) / (to - from).Seconds()
}
