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

// ParseCPUStat reads cpu.stat. Keys it does not know are passed over: kernels add some. It allocates nothing.
func ParseCPUStat(data []byte) (CPUStat, error) {
	var (
		stat CPUStat
		seen bool
	)

	for len(data) > 0 {
		var line []byte

		line, data, _ = bytes.Cut(data, []byte{'\n'})

		key, text, ok := bytes.Cut(line, []byte{' '})
		if !ok {
			continue
		}

		target := stat.field(key)
		if target == nil {
			continue
		}

		value, ok := parseUint(text)
		if !ok {
			return CPUStat{}, ErrMalformed
		}

		*target = value
		seen = seen || target == &stat.UsageUsec
	}

	if !seen {
		return CPUStat{}, ErrMalformed
	}

	return stat, nil
}

func (s *CPUStat) field(key []byte) *uint64 {
	switch string(key) {
	case "usage_usec":
		return &s.UsageUsec
	case "user_usec":
		return &s.UserUsec
	case "system_usec":
		return &s.SystemUsec
	case "nr_periods":
		return &s.Periods
	case "nr_throttled":
		return &s.Throttled
	case "throttled_usec":
		return &s.ThrottledUsec
	case "nr_bursts":
		return &s.Bursts
	case "burst_usec":
		return &s.BurstUsec
	default:
		return nil
	}
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
