// SPDX-License-Identifier: MPL-2.0

package encode

import (
	"context"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/state"

	"github.com/spegel-guard/spegel-guard/internal/task"
)

// Watch implements state.CoreState.
func (s *State) Watch(ctx context.Context, pointer resource.Pointer, events chan<- state.Event, opts ...state.WatchOption) error {
	return watch(ctx, events, s.event, func(source chan<- state.Event) error { return s.CoreState.Watch(ctx, pointer, source, opts...) })
}

// WatchKind implements state.CoreState.
func (s *State) WatchKind(ctx context.Context, kind resource.Kind, events chan<- state.Event, opts ...state.WatchKindOption) error {
	return watch(ctx, events, s.event, func(source chan<- state.Event) error { return s.CoreState.WatchKind(ctx, kind, source, opts...) })
}

// WatchKindAggregated implements state.CoreState.
func (s *State) WatchKindAggregated(ctx context.Context, kind resource.Kind, events chan<- []state.Event, opts ...state.WatchKindOption) error {
	return watch(ctx, events, s.events, func(source chan<- []state.Event) error {
		return s.CoreState.WatchKindAggregated(ctx, kind, source, opts...)
	})
}

// event encodes the resources of an event. The caller's copy is changed: the source's may be another watcher's, too.
func (s *State) event(event state.Event) state.Event {
	var err error

	if event.Resource, err = s.encode(event.Resource); err == nil {
		event.Old, err = s.encode(event.Old)
	}

	if err != nil {
		return state.Event{Type: state.Errored, Error: err}
	}

	return event
}

// events encodes the resources of events.
func (s *State) events(all []state.Event) []state.Event {
	encoded := make([]state.Event, len(all))

	for i, event := range all {
		encoded[i] = s.event(event)
	}

	return encoded
}

// watch begins a watch whose events are encoded on their way.
func watch[E any](ctx context.Context, events chan<- E, encode func(E) E, begin func(source chan<- E) error) error {
	source := make(chan E)

	if err := begin(source); err != nil {
		return err
	}

	go task.Do("encode the events of a watch", func() { relay(ctx, source, events, encode) })

	return nil
}

// relay hands the events of a watch on until its context ends: the source is never closed.
func relay[E any](ctx context.Context, from <-chan E, to chan<- E, encode func(E) E) {
	for {
		select {
		case <-ctx.Done():
			return
		case event := <-from:
			select {
			case <-ctx.Done():
				return
			case to <- encode(event):
			}
		}
	}
}
