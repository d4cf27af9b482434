// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// started is the time after which the start is over.
const started = 20 * time.Second

// trimOnceStarted calls trim when the start is over. It returns nil if the context ends first.
func trimOnceStarted(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(started):
		return trim()
	}
}

// trim releases memory that only the start needed: free memory of the Go runtime, and the pages of the binary. The start
// executes most of the binary (the descriptors of all protobuf messages, the grammar of CEL), the work after it a sixth.
// Pages that are used again come from the page cache or from the image.
//
// MADV_DONTNEED loses no data of a private mapping that is not writable, see madvise(2).
func trim() error {
	debug.FreeOSMemory()

	self, err := procfs.Self()
	if err != nil {
		return fmt.Errorf("failed to find the own process: %w", err)
	}

	binary, err := self.Executable()
	if err != nil {
		return fmt.Errorf("failed to find the own binary: %w", err)
	}

	maps, err := self.ProcMaps()
	if err != nil {
		return fmt.Errorf("failed to read the own mappings: %w", err)
	}

	for _, m := range maps {
		if m.Pathname != binary || m.Perms.Write || !m.Perms.Private {
			continue
		}

		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, m.StartAddr, m.EndAddr-m.StartAddr, unix.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("failed to release the pages of %s: %w", m.Pathname, errno)
		}
	}

	return nil
}
