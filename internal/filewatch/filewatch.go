// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package filewatch reports changes of files by inotify(7), so that an idle process does not wake up to compare them. It reads the
// files at intervals where inotify is unavailable.
package filewatch

import (
	"context"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// Fallback is how often watched files are read without an event. There is none when the lower layers of an overlay or the files
	// of a network file system change, when something is mounted over the path, and when a folder above the file's is renamed.
	Fallback = time.Minute
	// settle is the longest time from an event to the read. A program that replaces several files has done so by then, and a
	// folder in which much happens causes no more than one read in it.
	settle = time.Second
)

// notifier has the events of an inotify instance.
type notifier struct {
	events <-chan fsnotify.Event
	errors <-chan error
	close  func() error
}

// Follow calls read now, after each change of the files at the paths, and every Fallback, until the context ends. While the files
// cannot be watched it calls read at the interval. Files and their folders may be missing, be replaced, or be symbolic links.
func Follow(ctx context.Context, interval time.Duration, paths []string, read func()) {
	follow(ctx, interval, func() (*notifier, error) { return open(paths) }, read)
}

// follow opens the watches again after each read: the paths may lead to other folders by then.
func follow(ctx context.Context, interval time.Duration, open func() (*notifier, error), read func()) {
	for ctx.Err() == nil {
		once(ctx, interval, open, read)
	}
}

// once calls read and waits for the moment of the next one.
func once(ctx context.Context, interval time.Duration, open func() (*notifier, error), read func()) {
	// A change after the watch is an event, a change before it is read.
	n, err := open()
	if err != nil {
		read()
		sleep(ctx, interval)

		return
	}

	// While the changes settle nothing is watched: in a folder in which much happens the kernel would queue thousands of events.
	if n.changed(ctx, read) {
		sleep(ctx, min(interval, settle))
	}
}

// changed calls read, waits for an event and ends the watch. It reports whether there was one.
func (n *notifier) changed(ctx context.Context, read func()) bool {
	defer n.close() //nolint:errcheck // nothing was written

	read()

	return n.wait(ctx)
}

// wait waits for an event, at most until Fallback. It reports whether there was one.
func (n *notifier) wait(ctx context.Context) bool {
	timer := time.NewTimer(Fallback)
	defer timer.Stop()

	select {
	case <-ctx.Done():
	case <-n.events:
		return true
	case <-n.errors: // events were lost
		return true
	case <-timer.C:
	}

	return false
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
