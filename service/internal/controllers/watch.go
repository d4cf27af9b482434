// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/task"
	"github.com/spegel-guard/spegel-guard/pkg/discover"
)

// EventSource tells when containers come and go: see discover.CRI.Watch.
type EventSource interface {
	Watch(ctx context.Context, changed func(namespace string, labels map[string]string)) error
}

// watch records whether an event concerned a selected pod. It keeps no labels, because pods decide on their size.
type watch struct {
	// up reports that there is a stream.
	up atomic.Bool

	mu sync.Mutex
	// selector of the last look; the zero one selects every pod.
	selector  discover.Selector
	concerned bool
}

// run watches until the context ends, and calls wake at each event that concerns the selector.
func (w *watch) run(ctx context.Context, source EventSource, wake func()) {
	for ctx.Err() == nil {
		// Without a stream, because of an error or a panic, the sources are asked more often.
		task.Do("read events of the container runtime", func() {
			source.Watch(ctx, func(namespace string, labels map[string]string) { //nolint:errcheck // as above
				w.up.Store(true)

				if w.add(namespace, labels) {
					wake()
				}
			})
		})

		// What happens between two streams is unknown.
		if w.up.Swap(false) && w.add("", nil) {
			wake()
		}

		select {
		case <-ctx.Done():
		case <-time.After(discoverInterval):
		}
	}
}

// add reports whether an event of a pod concerns the selector. An event without a namespace may concern any pod.
func (w *watch) add(namespace string, labels map[string]string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()

	concerned := namespace == "" || w.selector.MatchesPod(namespace, labels)
	w.concerned = w.concerned || concerned

	return concerned
}

// take reports whether an event since the last look concerned a selected pod. A caller whose selector has changed must look at the pods
// anyway: the events before were compared with the earlier one.
func (w *watch) take(selector discover.Selector) bool {
	w.mu.Lock()
	defer w.mu.Unlock()

	concerned := w.concerned
	w.selector, w.concerned = selector, false

	return concerned
}
