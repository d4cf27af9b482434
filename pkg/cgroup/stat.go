// SPDX-License-Identifier: MPL-2.0

package cgroup

import (
	"bytes"
	"errors"
)

// CPUStat is cpu.stat: cumulative counters. Times are in microseconds.
type CPUStat struct {
	UsageUsec, UserUsec, SystemUsec uint64
	// Periods, Throttled and ThrottledUsec stay 0 while the cgroup has had no quota.
	Periods, Throttled, ThrottledUsec uint64
	// Bursts and BurstUsec are absent on older kernels and 0 then.
	Bursts, BurstUsec uint64
}

// ErrMalformed says that a kernel file did not have the form its documentation gives.
var ErrMalformed = errors.New("malformed")

var cpuStatKeys = []string{
	"usage_usec", "user_usec", "system_usec", "nr_periods", "nr_throttled", "throttled_usec", "nr_bursts", "burst_usec",
}

// ParseCPUStat reads cpu.stat. Keys it does not know are passed over: kernels add some. It allocates nothing.
func ParseCPUStat(data []byte) (CPUStat, error) {
	var v [8]uint64

	if !parseKeyed(data, cpuStatKeys, v[:]) {
		return CPUStat{}, ErrMalformed
	}

	return CPUStat{
		UsageUsec: v[0], UserUsec: v[1], SystemUsec: v[2],
		Periods: v[3], Throttled: v[4], ThrottledUsec: v[5], Bursts: v[6], BurstUsec: v[7],
	}, nil
}

// MemoryEvents is memory.events: how often the cgroup reached a limit, cumulative, its descendants' included.
type MemoryEvents struct {
	// High and Max count the times memory.high and memory.max were reached.
	High, Max uint64
	// OOM counts allocations that failed for it, OOMKill the processes killed for it.
	OOM, OOMKill uint64
}

var memoryEventsKeys = []string{"max", "high", "oom", "oom_kill"}

// ParseMemoryEvents reads memory.events. It allocates nothing.
func ParseMemoryEvents(data []byte) (MemoryEvents, error) {
	var v [4]uint64

	if !parseKeyed(data, memoryEventsKeys, v[:]) {
		return MemoryEvents{}, ErrMalformed
	}

	return MemoryEvents{Max: v[0], High: v[1], OOM: v[2], OOMKill: v[3]}, nil
}

// MemoryStat is the part of memory.stat that is needed, in bytes.
type MemoryStat struct {
	// File is page cache, Shmem the part of it that is tmpfs and shared memory.
	File, Shmem uint64
}

var memoryStatKeys = []string{"file", "shmem"}

// ParseMemoryStat reads memory.stat.
func ParseMemoryStat(data []byte) (MemoryStat, error) {
	var v [2]uint64

	if !parseKeyed(data, memoryStatKeys, v[:]) {
		return MemoryStat{}, ErrMalformed
	}

	return MemoryStat{File: v[0], Shmem: v[1]}, nil
}

// parseKeyed reads a flat keyed file (Documentation/admin-guide/cgroup-v2.rst, "Format") into the
// values of the keys. It tells whether the first key was there and every value a number.
func parseKeyed(data []byte, keys []string, values []uint64) bool {
	seen := false

	for len(data) > 0 {
		var line []byte

		line, data, _ = bytes.Cut(data, []byte{'\n'})

		key, text, ok := bytes.Cut(line, []byte{' '})
		if !ok {
			continue
		}

		for i := range keys {
			if string(key) != keys[i] {
				continue
			}

			value, ok := parseUint(text)
			if !ok {
				return false
			}

			values[i] = value
			seen = seen || i == 0
		}
	}

	return seen
}

// parseUint is strconv.ParseUint for bytes, which would have to allocate a string first.
func parseUint(text []byte) (uint64, bool) {
	if len(text) == 0 || len(text) > 20 {
		return 0, false
	}

	var value uint64

	for _, c := range text {
		digit := uint64(c - '0')

		if digit > 9 || value > (1<<64-1-digit)/10 {
			return 0, false
		}

		value = value*10 + digit
	}

	return value, true
}
