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
	source := make(chan state.Event)

	if err := s.CoreState.Watch(ctx, pointer, source, opts...); err != nil {
		return err
	}

	go task.Do(relaying, func() { relay(ctx, source, events, s.event) })

	return nil
}

// WatchKind implements state.CoreState.
func (s *State) WatchKind(ctx context.Context, kind resource.Kind, events chan<- state.Event, opts ...state.WatchKindOption) error {
	source := make(chan state.Event)

	if err := s.CoreState.WatchKind(ctx, kind, source, opts...); err != nil {
		return err
	}

	go task.Do(relaying, func() { relay(ctx, source, events, s.event) })

	return nil
}

// WatchKindAggregated implements state.CoreState.
func (s *State) WatchKindAggregated(ctx context.Context, kind resource.Kind, events chan<- []state.Event, opts ...state.WatchKindOption) error {
	source := make(chan []state.Event)

	if err := s.CoreState.WatchKindAggregated(ctx, kind, source, opts...); err != nil {
		return err
	}

	go task.Do(relaying, func() { relay(ctx, source, events, s.events) })

	return nil
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

// relaying is the name of the task.
const relaying = "encode the events of a watch"

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
