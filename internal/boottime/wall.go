// SPDX-License-Identifier: MPL-2.0

//go:build linux

package boottime

import (
	"sync/atomic"
	"time"
)

// step is the least change of the system's clock that counts. Slewing changes both clocks alike.
const step = time.Second

// earliest is when the system's clock can be set to at the earliest. Without a battery it starts in 1970 or 2000.
var earliest = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// wall converts times since boot to times of day.
type wall struct {
	// booted is the time of day at boot, in nanoseconds of Unix time.
	booted atomic.Int64
}

// at converts a time since boot, when the time since boot is boot and the time of day now.
func (w *wall) at(at, boot time.Duration, now time.Time) time.Time {
	if at == 0 || now.Before(earliest) {
		return time.Time{}
	}

	booted := now.UnixNano() - int64(boot)

	if known := w.booted.Load(); time.Duration(booted-known).Abs() < step {
		booted = known
	} else {
		w.booted.Store(booted)
	}

	return time.Unix(0, booted+int64(at)).UTC()
}
