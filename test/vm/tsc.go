// SPDX-License-Identifier: MPL-2.0

package vm

import (
	"fmt"
	"math"
	"runtime"
	"sync"
	"time"

	"github.com/loov/hrtime"
)

// tscArg is the kernel's argument with the frequency of its TSC, which is that of this machine: the emulator passes the TSC through. Without
// the argument the kernel compares the TSC with the PIT, and has no clock if the host pauses the emulator meanwhile. It is empty on a machine
// without a TSC.
//
// Source: tsc_early_khz in Documentation/admin-guide/kernel-parameters.txt of Linux.
var tscArg = sync.OnceValue(func() string {
	if runtime.GOARCH != hasTSC {
		return ""
	}

	return fmt.Sprintf(" tsc_early_khz=%.0f", hostTSC(100*time.Millisecond))
})

// hasTSC is the architecture whose processors have a TSC. hrtime.TSCSupported is false under hypervisors that hide that its frequency is
// constant.
const hasTSC = "amd64"

// hostTSC returns the mean frequency of this machine's TSC over a time, in kHz.
func hostTSC(over time.Duration) float64 {
	begin := readClocks()

	time.Sleep(over)

	end := readClocks()

	return float64(end.tsc-begin.tsc) / (float64(end.at.Sub(begin.at)) / float64(time.Millisecond))
}

// clocks are readings of two clocks at about the same time.
type clocks struct {
	at  time.Time
	tsc hrtime.Count
}

// readClocks returns the best of some readings: those between which the system has paused this process the least.
func readClocks() clocks {
	const tries = 100

	var best clocks

	for try, least := 0, time.Duration(math.MaxInt64); try < tries; try++ {
		next := clocks{at: time.Now(), tsc: hrtime.TSC()}

		if between := time.Since(next.at); between < least {
			best, least = next, between
		}
	}

	return best
}
