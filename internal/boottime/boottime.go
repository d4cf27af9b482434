// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package boottime reads CLOCK_BOOTTIME, which setting the system's clock does not change and which runs on during suspend
// and restarts of the guard.
package boottime

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Now returns the time since the machine booted.
func Now() time.Duration {
	var ts unix.Timespec

	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		// Linux has it since 2.6.39. Only a seccomp profile can deny it.
		panic(fmt.Sprintf("failed to read CLOCK_BOOTTIME: %v", err))
	}

	return time.Duration(ts.Nano())
}

// maxReading is how long reading both clocks may take. The thread may be suspended between the two.
const maxReading = 100 * time.Millisecond

var clock wall

// Wall returns the time of day in UTC at a time since boot, by the current time of day. It is the same at each call until the
// system's clock is set by a second or more. It is the zero time for 0, and while the system's clock is not set.
func Wall(at time.Duration) time.Time {
	for {
		before, now := Now(), time.Now()

		if Now()-before < maxReading {
			return clock.at(at, before, now)
		}
	}
}
