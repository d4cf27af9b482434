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

// Wall returns the time of day at a time since boot, by the current time of day.
func Wall(at time.Duration) time.Time {
	return time.Now().Add(at - Now()).UTC()
}
