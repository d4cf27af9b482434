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

// watch collects events between two looks at them.
type watch struct {
	// up tells that the stream is.
	up atomic.Bool

	mu sync.Mutex
	// any tells that something happened that concerns every selector.
	any  bool
	pods []eventPod
}

type eventPod struct {
	namespace string
	labels    map[string]string
}

// run watches until the context ends, and calls wake at each event.
func (w *watch) run(ctx context.Context, source EventSource, wake func()) {
	for ctx.Err() == nil {
		// Without a stream, because of an error or a panic, the sources are asked more often.
		task.Do("read events of the container runtime", func() {
			source.Watch(ctx, func(namespace string, labels map[string]string) { //nolint:errcheck // as above
				w.up.Store(true)
				w.add(eventPod{namespace: namespace, labels: labels})
				wake()
			})
		})

		// What happened between two streams is not told.
		if w.up.Swap(false) {
			w.add(eventPod{})
			wake()
		}

		select {
		case <-ctx.Done():
		case <-time.After(discoverInterval):
		}
	}
}

// mostEvents is how many events are kept until the next read.
const mostEvents = 256

func (w *watch) add(pod eventPod) {
	w.mu.Lock()
	defer w.mu.Unlock()

	if pod.namespace == "" || len(w.pods) >= mostEvents {
		w.any, w.pods = true, nil

		return
	}

	w.pods = append(w.pods, pod)
}

// take forgets the events and tells whether one of them concerned a pod that is selected.
func (w *watch) take(selector discover.Selector) bool {
	w.mu.Lock()
	defer w.mu.Unlock()

	concerned := w.any

	for _, pod := range w.pods {
		concerned = concerned || selector.MatchesPod(pod.namespace, pod.labels)
	}

	w.any, w.pods = false, nil

	return concerned
}
