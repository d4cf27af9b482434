// SPDX-License-Identifier: MPL-2.0

// Package result is what the benchmarks find out, as the program in the test machine hands it to the one that
// writes the report.
package result

import "time"

// Mark begins the line of the output that holds the results as JSON.
const Mark = "RESULTS "

// Guest is everything that is measured in the test machine.
type Guest struct {
	Kernel      string
	Calibration Calibration
	Samples     []Sample
	// CallsPerTick are system calls of the guard in one second, all told.
	CallsPerTick float64
	Usages       []Usage
	Reactions    []Reaction
	Watched      Watched
}

// Calibration is the same work here and there: how much slower the emulation is.
type Calibration struct {
	// StepNanoseconds is one decision of the policy (computing), PreadNanoseconds one pread(2) of /proc/self/stat
	// (system calls), SwitchNanoseconds one message from a goroutine to another and back (the scheduler).
	StepNanoseconds, PreadNanoseconds, SwitchNanoseconds float64
}

// Sample is one way to read a container's counters.
type Sample struct {
	Name         string
	Microseconds float64
	Allocs       int64
}

// Usage is what a watcher takes.
type Usage struct {
	Who      string
	Interval time.Duration
	Targets  int
	// Cores is processor use.
	Cores float64
	Memory
}

// Memory of a watcher's processes, at the end.
type Memory struct {
	// RSSMiB is all that is resident, AnonymousMiB the part that is no file's: the program itself is one, which the
	// kernel shares and takes back as it likes. PeakMiB is the most that was resident.
	RSSMiB, AnonymousMiB, PeakMiB float64
}

// Reaction is the time from the start of a sample that completes a breach until cpu.max is written.
type Reaction struct {
	With          string
	Trips         int
	P50, P99, Max time.Duration
}

// Watched is the guard with clients.
type Watched struct {
	Watchers int
	Memory
}
