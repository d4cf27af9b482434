// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/pkg/discover"
)

// eventPod is the pod of an event.
type eventPod struct {
	namespace string
	labels    map[string]string
}

// stream is an event source of a test.
type stream struct {
	events chan eventPod
}

func (s stream) Watch(ctx context.Context, changed func(string, map[string]string)) error {
	changed("", nil)

	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case event, ok := <-s.events:
			if !ok {
				<-ctx.Done()

				return ctx.Err()
			}

			changed(event.namespace, event.labels)
		}
	}
}

func TestWatch_WakesForSelectedPods(t *testing.T) {
	var w watch

	source, woken := stream{events: make(chan eventPod)}, make(chan bool, 100)
	selector := discover.Selector{PodLabels: map[string]string{"app": "spegel"}}

	go w.run(t.Context(), source, func() { woken <- true })

	<-woken
	assert.True(t, w.up.Load())
	assert.True(t, w.take(selector), "what happened before the stream is unknown")
	assert.False(t, w.take(selector))

	for range 1000 {
		source.events <- eventPod{namespace: "a", labels: map[string]string{"app": "other"}}
	}

	source.events <- eventPod{namespace: "a", labels: map[string]string{"app": "spegel"}}

	<-woken
	assert.True(t, w.take(selector))
	assert.False(t, w.take(selector))
	assert.Empty(t, woken, "the events of other pods")

	source.events <- eventPod{}

	<-woken
	assert.True(t, w.take(selector), "an event without its pod")
}
