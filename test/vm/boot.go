// SPDX-License-Identifier: MPL-2.0

package vm

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"time"
)

// stalls are in the kernel's log if the host has paused the emulator at a bad moment, which happens on a busy machine only.
var stalls = [][]byte{
	// The kernel compared the TSC with the PIT during the pause, because it was not given its frequency. Without another timer the boot hangs
	// then.
	[]byte("could not calculate TSC khz"),
	// A processor gets no interrupts of its timer any more, so that the boot hangs. The kernel repeats the message without end.
	[]byte("rcu_preempt detected stalls on CPUs/tasks"),
}

// stallTimeout is how long a machine may print nothing before its init is ready. A boot takes seconds on an idle machine, and most
// of it prints.
const stallTimeout = 2 * time.Minute

// ErrStalled is returned if the boot of a machine has stopped. Another boot helps.
var ErrStalled = fmt.Errorf("the machine is not ready: its kernel gets no interrupts of a timer, or has printed nothing for %s", stallTimeout)

// AwaitBoot waits until ready returns true for the output of the boot: the file of the console from an offset in bytes. It returns
// ErrStalled if the kernel has stalled, or if the output does not change for two minutes. A machine that prints for ever ends with ctx.
func AwaitBoot(ctx context.Context, console string, from int, ready func(output []byte) bool) error {
	const interval = stallTimeout / 120

	for size, changed := 0, time.Now(); time.Since(changed) < stallTimeout; {
		output, err := os.ReadFile(console)
		if err == nil && len(output) != size {
			size, changed = len(output), time.Now()
		}

		if output = output[min(from, len(output)):]; ready(output) {
			return nil
		}

		for _, stall := range stalls {
			if bytes.Contains(output, stall) {
				return ErrStalled
			}
		}

		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(interval):
		}
	}

	return ErrStalled
}
