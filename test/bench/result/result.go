// SPDX-License-Identifier: MPL-2.0

// Package result has the results of the benchmarks, which test/bench prints and test/bench/report reads.
package result

import "time"

// Mark begins the line of the output that has the results as JSON.
const Mark = "RESULTS "

// Guest has all results of the test machine.
type Guest struct {
	Kernel      string
	Calibration Calibration
	Samples     []Sample
	// CallsPerTick is the number of system calls of the guard per second.
	CallsPerTick float64
	Usages       []Usage
	Reactions    []Reaction
	Watched      Watched
	// Native has the usage on this machine, without the emulation.
	Native []Phase `json:",omitempty"`
}

// Phase is one configuration of the guard, beside other watchers of the same container.
type Phase struct {
	Name   string
	Usages []Usage
}

// Calibration has the times of work that is measured on the host, too. It shows how much slower the emulation is.
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

// Usage is the usage of a watcher.
type Usage struct {
	Who      string
	Interval time.Duration
	Targets  int
	// Cores is CPU usage.
	Cores float64
	Memory
}

// Memory of a watcher's processes at the end of the measurement.
type Memory struct {
	// RSSMiB is resident memory (VmRSS), AnonymousMiB the part that no file backs (RssAnon). The kernel may reclaim the
	// other part, which is the program itself. PeakMiB is the peak of resident memory (VmHWM).
	RSSMiB, AnonymousMiB, PeakMiB float64
}

// Reaction is the time from the start of a sample that completes a breach until cpu.max is written.
type Reaction struct {
	With          string
	Trips         int
	P50, P99, Max time.Duration
}

// Watched is the memory of the guard with clients.
type Watched struct {
	Watchers int
	Memory
}
