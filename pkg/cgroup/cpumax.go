// SPDX-License-Identifier: MPL-2.0

package cgroup

import (
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// Unlimited is the quota of a cgroup without a limit.
const Unlimited int64 = -1

// Bounds of the kernel (kernel/sched/core.c: tg_set_cfs_bandwidth).
const (
	minQuotaUsec                 = 1000
	minPeriodUsec, maxPeriodUsec = 1000, 1_000_000
	// defaultPeriodUsec is default_cfs_period.
	defaultPeriodUsec = 100_000
	// max_cfs_runtime: MAX_BW (2^44-1) microseconds.
	maxQuotaUsec = 1<<44 - 1
)

// ErrInvalid is the error for a cpu.max that the kernel does not accept.
var ErrInvalid = errors.New("cpu.max is not valid")

// CPUMax is cpu.max: the time all of a cgroup's tasks together may run in each period, in microseconds.
type CPUMax struct {
	// QuotaUsec, or Unlimited.
	QuotaUsec int64
	// PeriodUsec is 100,000 by default.
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

// Cores returns the limit of a cpu.max in cores; 0 without a limit, and for another text.
func Cores(text string) float64 {
	value, err := ParseCPUMax(text)
	if err != nil {
		return 0
	}

	return value.Cores()
}

// mark is added to each ceiling, in microseconds: 500m is 50001 of 100000. It distinguishes the guard's value from an
// equal owner's limit that is set while the ceiling is in force, so that a release restores the latter. It is 10 parts in a
// million of a core in the default period, and keeps the ceiling at or above the floor (docs/adr/0003-extra-microsecond.md).
const mark = 1

// Limit returns the ceiling over the owner's limit m: max(floor, min(ceiling, owner)) in thousandths of a core, with the
// owner's period and the guard's mark. An owner's period in which the ceiling would be less than the smallest quota of the
// kernel (1 ms) is replaced by the kernel's default; a release restores it. The result is false, and m, if the owner's
// limit is as low: the floor never raises a limit.
func (m CPUMax) Limit(ceilingMillis, floorMillis int64) (CPUMax, bool) {
	millis := max(ceilingMillis, floorMillis)
	period := m.PeriodUsec

	if millis*int64(period)/1000 < minQuotaUsec {
		period = max(period, defaultPeriodUsec)
	}

	limited := CPUMax{QuotaUsec: max(minQuotaUsec, millis*int64(period)/1000) + mark, PeriodUsec: period}

	if m.QuotaUsec != Unlimited && !limited.less(m) {
		return m, false
	}

	return limited, true
}

// Reads reports whether m is what cpu.max reads after text was written to it: the same value, or one that the kernel doubled since.
func (m CPUMax) Reads(text string) bool {
	written, err := ParseCPUMax(text)

	return err == nil && m.doubled(written) > 0
}

// doubled returns how much longer than written the period of m is, if the kernel made m of it, and 0 otherwise. When a period is too short
// for a busy machine, the kernel doubles it together with quota and burst, up to a period of 1 s, and never takes that back
// (kernel/sched/fair.c: sched_cfs_period_timer). Without a quota no timer runs.
func (m CPUMax) doubled(written CPUMax) uint64 {
	if m == written {
		return 1
	}

	factor := m.PeriodUsec / written.PeriodUsec

	if m.QuotaUsec == Unlimited || written.QuotaUsec == Unlimited || bits.OnesCount64(factor) != 1 ||
		m.PeriodUsec != written.PeriodUsec*factor || uint64(m.QuotaUsec) != uint64(written.QuotaUsec)*factor {
		return 0
	}

	return factor
}

// less compares two limits by their share of a core.
func (m CPUMax) less(other CPUMax) bool {
	high, low := bits.Mul64(uint64(m.QuotaUsec), other.PeriodUsec)
	otherHigh, otherLow := bits.Mul64(uint64(other.QuotaUsec), m.PeriodUsec)

	return high < otherHigh || high == otherHigh && low < otherLow
}

// room is what there is room for of a burst under the quota.
func (m CPUMax) room(burstUsec uint64) uint64 {
	if m.QuotaUsec == Unlimited {
		return burstUsec
	}

	return min(burstUsec, uint64(m.QuotaUsec))
}
