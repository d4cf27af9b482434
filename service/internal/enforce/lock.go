// SPDX-License-Identifier: MPL-2.0

//go:build linux

package enforce

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
)

// ErrLocked says that another guard is at work on the node.
var ErrLocked = errors.New("another spegel-guard runs on this node")

// Lock lets one guard write, and no more.
//
// It is a flock(2) on the root of the hierarchy itself: whatever else two guards see of the node, in
// whatever mount namespaces they run, they share that inode when they could write to the same cgroups.
// The kernel gives it up with the process. Its methods can be called concurrently.
type Lock struct {
	// Root of the unified hierarchy.
	Root string

	mu   sync.Mutex
	file *os.File
}

// Acquire takes the lock, or finds it taken by this Lock already. ErrLocked when another process has it;
// cgroup.ErrNotUnified when there is no hierarchy to lock, and nothing to guard either.
func (l *Lock) Acquire() error {
	l.mu.Lock()
	defer l.mu.Unlock()

	if l.file != nil {
		return nil
	}

	if err := cgroup.CheckRoot(l.Root); err != nil {
		return err
	}

	file, err := os.Open(l.Root)
	if err != nil {
		return fmt.Errorf("error locking %s: %w", l.Root, err)
	}

	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		file.Close() //nolint:errcheck // unused

		if errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("%w: it holds the lock on %s; stop it first (talosctl service ext-spegel-guard stop)", ErrLocked, l.Root)
		}

		return fmt.Errorf("error locking %s: %w", l.Root, err)
	}

	l.file = file

	return nil
}

// Release gives the lock up.
func (l *Lock) Release() {
	l.mu.Lock()
	defer l.mu.Unlock()

	if l.file != nil {
		l.file.Close() //nolint:errcheck // only a lock
		l.file = nil
	}
}
