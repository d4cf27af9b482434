// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

const (
	// gcPercent is how much of the live heap may be added until the next collection; Go's default is all of it again.
	// The guard allocates little, so they are rare all the same.
	gcPercent = 25
	// started is when everything that only the start needs has been done.
	started = 20 * time.Second
)

// configureFootprint is for the start, unless the environment says how Go is to collect garbage.
func configureFootprint() {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

// trimOnceStarted trims when the start is over, or does nothing when the context ends before.
func trimOnceStarted(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(started):
		return trim()
	}
}

// trim gives back what was needed once: free memory of Go's, and the program's own pages. The start goes through
// most of the program (the descriptors of every protobuf message, the grammar of CEL), the work after it through a
// sixth. What is wanted again comes from the page cache, or from the image.
//
// MADV_DONTNEED of a private mapping that nobody can write to loses nothing: madvise(2).
func trim() error {
	debug.FreeOSMemory()

	self, err := procfs.Self()
	if err != nil {
		return fmt.Errorf("error looking for the own process: %w", err)
	}

	program, err := self.Executable()
	if err != nil {
		return fmt.Errorf("error looking for the own program: %w", err)
	}

	maps, err := self.ProcMaps()
	if err != nil {
		return fmt.Errorf("error reading the own mappings: %w", err)
	}

	for _, m := range maps {
		if m.Pathname != program || m.Perms.Write || !m.Perms.Private {
			continue
		}

		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, m.StartAddr, m.EndAddr-m.StartAddr, unix.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("error giving back %s: %w", m.Pathname, errno)
		}
	}

	return nil
}
