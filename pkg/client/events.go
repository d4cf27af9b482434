// SPDX-License-Identifier: MPL-2.0

package client

import (
	"context"
	"fmt"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/state"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// Kinds of events.
const (
	EventState     = "state"
	EventRule      = "rule"
	EventAction    = "action"
	EventVerdict   = "verdict"
	EventCondition = "condition"
	EventOverride  = "override"
)

// eventTypes are the resources whose changes are events.
var eventTypes = []resource.Type{
	resources.GuardStatusType, resources.RuleStatusType, resources.GuardActionType, resources.VerdictType,
	resources.ConditionType, resources.OverrideType,
}

// Event is a change on a node.
type Event struct {
	// At is the node's time of day; zero when its clock was not set.
	At   time.Time `yaml:"at,omitempty"`
	Kind string    `yaml:"kind"`
	// Target's id; empty for an event of the node.
	Target string `yaml:"target"`
	// Name of the rule or condition, the kind of the override, or the action taken.
	Name string `yaml:"name"`
	// State after the change, and Before it.
	State   string `yaml:"state"`
	Before  string `yaml:"before"`
	Message string `yaml:"message"`
	// Action in full, for EventAction.
	Action *Action `yaml:"action,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (e Event) MarshalJSON() ([]byte, error) { return marshal(e) }

// Action is an action of the guard.
type Action struct {
	ID                        string `yaml:"id"`
	resources.GuardActionSpec `yaml:",inline"`
}

// PastEvents returns the last actions, the oldest first: at most tail of them, or all that are kept with -1.
func (n *Node) PastEvents(ctx context.Context, tail int) ([]Event, error) {
	if tail < -1 || tail > resources.MaxGuardActions {
		return nil, fmt.Errorf("invalid tail %d: must be -1 for all actions, or 0..%d", tail, resources.MaxGuardActions)
	}

	actions, err := list[*resources.GuardAction](ctx, n.Resources)
	if err != nil {
		return nil, fmt.Errorf("failed to list the actions: %w", err)
	}

	if tail >= 0 {
		actions = actions[max(0, len(actions)-tail):]
	}

	events := make([]Event, len(actions))

	for i, action := range actions {
		events[i] = actionEvent(action)
	}

	return events, nil
}

// Events calls each with the last actions, as PastEvents returns them, and then with every event, until the context
// ends, the connection fails or each returns an error. Several events of one moment can come in any order.
func (n *Node) Events(ctx context.Context, tail int, each func(Event) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	// The watches begin before the past is read, so that no action is missed between the two.
	changes, err := n.Watch(ctx, eventTypes...)
	if err != nil {
		return err
	}

	past, err := n.PastEvents(ctx, tail)
	if err != nil {
		return err
	}

	last := ""

	for _, event := range past {
		last = event.Action.ID

		if err := each(event); err != nil {
			return err
		}
	}

	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case change := <-changes:
			if change.Type == state.Errored {
				return change.Error
			}

			event, ok := eventOf(change)
			if !ok || event.Action != nil && event.Action.ID <= last {
				continue
			}

			if err := each(event); err != nil {
				return err
			}
		}
	}
}

// eventOf returns the event of a resource's change. Most changes are new figures, or new times after the node's clock was set, which
// are none.
func eventOf(change state.Event) (Event, bool) {
	if change.Resource == nil {
		return Event{}, false
	}

	id := change.Resource.Metadata().ID()

	if override, ok := change.Resource.(*resources.Override); ok {
		spec := override.TypedSpec()

		return overrideEvent(id, spec, change.Type), change.Type != state.Updated || spec.SinceClock != previous[*resources.Override](change).SinceClock
	}

	if change.Type == state.Destroyed {
		return Event{}, false
	}

	switch now := change.Resource.(type) {
	case *resources.GuardAction:
		return actionEvent(now), change.Type == state.Created
	case *resources.GuardStatus:
		spec, before := now.TypedSpec(), previous[*resources.GuardStatus](change)

		return Event{At: spec.Since, Kind: EventState, Target: spec.Target, State: spec.State, Before: before.State, Message: spec.Message},
			spec.State != before.State
	case *resources.RuleStatus:
		spec, before := now.TypedSpec(), previous[*resources.RuleStatus](change)
		target, name := splitRule(id)

		return Event{At: spec.Since, Kind: EventRule, Target: target, Name: name, State: spec.State, Before: before.State, Message: spec.Reason},
			spec.State != before.State
	case *resources.Condition:
		spec, before := now.TypedSpec(), previous[*resources.Condition](change)

		return Event{At: spec.Since, Kind: EventCondition, Name: id, State: spec.Reason, Before: before.Reason, Message: spec.Message},
			spec.Reason != before.Reason
	case *resources.Verdict:
		spec := now.TypedSpec()

		return Event{At: spec.At, Kind: EventVerdict, Target: id, Name: spec.Rule, State: spec.Outcome, Message: spec.Reason},
			change.Type != state.Updated || spec.Clock != previous[*resources.Verdict](change).Clock
	}

	return Event{}, false
}

// previous returns the spec before the change; the zero value for a new resource.
func previous[R interface{ TypedSpec() *S }, S any](change state.Event) S {
	var none S

	if old, ok := change.Old.(R); ok {
		return *old.TypedSpec()
	}

	return none
}

func overrideEvent(id string, spec *resources.OverrideSpec, change state.EventType) Event {
	event := Event{At: spec.Since, Kind: EventOverride, Target: id, Name: spec.Kind, State: "in force", Message: spec.Reason}

	if change == state.Destroyed {
		event.At, event.State, event.Before = time.Now(), "ended", "in force"
	}

	return event
}

func actionEvent(action *resources.GuardAction) Event {
	spec := action.TypedSpec()

	return Event{
		At: spec.At, Kind: EventAction, Target: spec.Target, Name: spec.Action, Message: spec.Reason,
		Action: &Action{ID: action.Metadata().ID(), GuardActionSpec: *spec},
	}
}
