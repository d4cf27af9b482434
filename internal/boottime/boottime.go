// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package boottime is the guard's clock: CLOCK_BOOTTIME never jumps when somebody sets the system's
// clock, and goes on in suspend and over the guard's restarts.
package boottime

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Now is the time since the machine booted.
func Now() time.Duration {
	var ts unix.Timespec

	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		// The kernel has had it since 2.6.39; only a broken seccomp profile gets here.
		panic(fmt.Sprintf("error reading CLOCK_BOOTTIME: %v", err))
	}

	return time.Duration(ts.Nano())
}

// Wall is what a clock on the wall showed then, by what it shows now.
func Wall(at time.Duration) time.Time {
	return time.Now().Add(at - Now()).UTC()
}
