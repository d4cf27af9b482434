// SPDX-License-Identifier: MPL-2.0

//go:build linux

package cgroup

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/fsnotify/fsnotify"
)

// AwaitEmpty waits until no process runs in the cgroup and in those below it, or the context ends. It returns nil in both cases, also
// when the cgroup is removed, and an error if the cgroup cannot be watched. A zombie does not run. The kernel reports the
// change through inotify(7): see populated in Documentation/admin-guide/cgroup-v2.rst.
func (d *Dir) AwaitEmpty(ctx context.Context) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("failed to watch cgroup %s: %w", d.path, err)
	}

	defer watcher.Close() //nolint:errcheck // nothing was written

	// The file of this cgroup, even if there is another one at its path.
	err = watcher.Add(filepath.Join("/proc/self/fd", strconv.Itoa(d.fd()), fileEvents))

	switch err = gone(err); {
	case errors.Is(err, ErrGone):
		return nil
	case err != nil:
		return fmt.Errorf("failed to watch cgroup %s: %w", d.path, err)
	}

	for {
		// A change after the watch is an event, a change before it is read.
		populated, _, err := d.events()

		switch {
		case errors.Is(err, ErrGone):
			return nil
		case err != nil:
			return err
		case !populated:
			return nil
		}

		select {
		case <-ctx.Done():
			return nil
		case <-watcher.Events:
		case <-watcher.Errors: // events were lost
		}
	}
}

// eventsKeys are in cgroup.events. Linux before 5.2 has no frozen.
var eventsKeys = []string{"populated", "frozen"}

// events reports whether a process runs in the cgroup or below it, and whether the cgroup is frozen.
func (d *Dir) events() (populated, frozen bool, err error) {
	data, err := d.ReadFile(fileEvents)
	if err != nil {
		return false, false, err
	}

	var v [2]uint64

	if !parseKeyed(data, eventsKeys, v[:]) {
		return false, false, fmt.Errorf("error reading %s of cgroup %s: %w", fileEvents, d.path, ErrMalformed)
	}

	return v[0] != 0, v[1] != 0, nil
}
