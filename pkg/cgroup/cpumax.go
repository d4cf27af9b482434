// SPDX-License-Identifier: MPL-2.0

package cgroup

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Unlimited is the quota of a cgroup without a limit.
const Unlimited int64 = -1

// What the kernel takes (kernel/sched/core.c: tg_set_cfs_bandwidth).
const (
	minQuotaUsec                 = 1000
	minPeriodUsec, maxPeriodUsec = 1000, 1_000_000
	// max_cfs_runtime: MAX_BW (2^44-1) microseconds.
	maxQuotaUsec = 1<<44 - 1
)

// ErrInvalid says that the kernel would refuse a cpu.max.
var ErrInvalid = errors.New("cpu.max is not valid")

// CPUMax is cpu.max: the time all of a cgroup's tasks together may run in each period, in microseconds.
type CPUMax struct {
	// QuotaUsec, or Unlimited.
	QuotaUsec int64
	// PeriodUsec is 100,000 unless the owner chose otherwise.
	PeriodUsec uint64
}

// ParseCPUMax reads "$MAX $PERIOD" as the kernel prints it.
func ParseCPUMax(text string) (CPUMax, error) {
	quota, period, ok := strings.Cut(strings.TrimSpace(text), " ")
	if !ok {
		return CPUMax{}, fmt.Errorf("cpu.max %q: %w", text, ErrMalformed)
	}

	parsed := CPUMax{QuotaUsec: Unlimited}

	if quota != "max" {
		// Unsigned: the kernel prints no minus, and -1 would pass for Unlimited.
		usec, err := strconv.ParseUint(quota, 10, 63)
		if err != nil {
			return CPUMax{}, fmt.Errorf("cpu.max %q: %w", text, ErrMalformed)
		}

		parsed.QuotaUsec = int64(usec)
	}

	var err error

	if parsed.PeriodUsec, err = strconv.ParseUint(period, 10, 64); err != nil || parsed.Validate(0) != nil {
		return CPUMax{}, fmt.Errorf("cpu.max %q: %w", text, ErrMalformed)
	}

	return parsed, nil
}

// String is what the kernel reads and prints.
func (m CPUMax) String() string {
	quota := "max"
	if m.QuotaUsec != Unlimited {
		quota = strconv.FormatInt(m.QuotaUsec, 10)
	}

	return quota + " " + strconv.FormatUint(m.PeriodUsec, 10)
}

// Validate tells whether the kernel would take the value beside a burst (cpu.max.burst), before it is
// asked: EINVAL would not say why. ErrInvalid when not.
func (m CPUMax) Validate(burstUsec uint64) error {
	switch {
	case m.PeriodUsec < minPeriodUsec || m.PeriodUsec > maxPeriodUsec:
		return fmt.Errorf("%w: period %d us, the kernel takes %d..%d", ErrInvalid, m.PeriodUsec, minPeriodUsec, maxPeriodUsec)
	case m.QuotaUsec == Unlimited:
		return nil
	case m.QuotaUsec < minQuotaUsec || m.QuotaUsec > maxQuotaUsec:
		return fmt.Errorf("%w: quota %d us, the kernel takes %d..%d", ErrInvalid, m.QuotaUsec, minQuotaUsec, int64(maxQuotaUsec))
	case burstUsec > uint64(m.QuotaUsec):
		return fmt.Errorf("%w: quota %d us is below cpu.max.burst %d us", ErrInvalid, m.QuotaUsec, burstUsec)
	default:
		return nil
	}
}

// Cores is the limit in cores; 0 for none.
func (m CPUMax) Cores() float64 {
	if m.QuotaUsec == Unlimited || m.PeriodUsec == 0 {
		return 0
	}

	return float64(m.QuotaUsec) / float64(m.PeriodUsec)
}

// Cores is the limit a cpu.max sets, in cores; 0 for no limit, and for a text that is none: one that is
// not known yet.
func Cores(text string) float64 {
	value, err := ParseCPUMax(text)
	if err != nil {
		return 0
	}

	return value.Cores()
}

// mark is what each ceiling has on top, in microseconds: 500m is 50001 of 100000. It tells the guard's
// value from an owner's who chose the very same limit while it was in force, so that theirs is what a
// release restores. It costs 10 parts in a million and keeps the ceiling at or above the floor.
const mark = 1

// Limit is the ceiling to write over the owner's value: max(floor, min(ceiling, owner)), with the
// owner's period and the guard's mark. It is false when the owner's own limit is already that low: then
// nothing is written.
//
// The floor never raises a limit: an owner below the floor is left alone.
func (m CPUMax) Limit(ceilingMillis, floorMillis int64) (CPUMax, bool) {
	millis := max(ceilingMillis, floorMillis)
	limited := CPUMax{
		QuotaUsec:  max(minQuotaUsec, millis*int64(m.PeriodUsec)/1000) + mark,
		PeriodUsec: m.PeriodUsec,
	}

	if m.QuotaUsec != Unlimited && m.QuotaUsec <= limited.QuotaUsec {
		return m, false
	}

	return limited, true
}

// room is what there is room for of a burst under the quota.
func (m CPUMax) room(burstUsec uint64) uint64 {
	if m.QuotaUsec == Unlimited {
		return burstUsec
	}

	return min(burstUsec, uint64(m.QuotaUsec))
}
