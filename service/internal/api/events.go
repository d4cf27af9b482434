// SPDX-License-Identifier: MPL-2.0

//go:build linux

package api

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/state"
	"google.golang.org/grpc"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

// Kinds of events.
const (
	eventState     = "state"
	eventRule      = "rule"
	eventAction    = "action"
	eventVerdict   = "verdict"
	eventCondition = "condition"
	eventOverride  = "override"
)

// eventTypes are the resources whose changes are events.
var eventTypes = []resource.Type{
	resources.GuardStatusType, resources.RuleStatusType, resources.GuardActionType, resources.VerdictType,
	resources.ConditionType, resources.OverrideType,
}

// Events implements guardv1alpha1.GuardServiceServer.
func (s *guardService) Events(request *guardv1alpha1.EventsRequest, stream grpc.ServerStreamingServer[guardv1alpha1.EventsResponse]) error {
	if tail := request.GetTail(); tail < -1 || tail > resources.MaxGuardActions {
		return statusOf(config.FieldError{Field: "tail", Value: strconv.Itoa(int(tail)), Allowed: "-1 for all, or 0..50"})
	}

	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()

	// Before the tail is read, so that nothing is lost between; what comes twice is told by its id.
	changes := make(chan state.Event)

	if !request.GetOnce() {
		for _, kind := range eventTypes {
			metadata := resource.NewMetadata(resources.Namespace, kind, "", resource.VersionUndefined)

			if err := s.node.State.WatchKind(ctx, metadata, changes); err != nil {
				return statusOf(err)
			}
		}
	}

	sent, err := s.tail(ctx, int(request.GetTail()), stream)
	if err != nil || request.GetOnce() {
		return err
	}

	for {
		select {
		case <-ctx.Done():
			return nil
		case change := <-changes:
			if change.Type == state.Errored {
				return errTooSlow
			}

			event := eventOf(change)
			if event == nil || event.GetKind() == eventAction && event.GetAction().GetId() <= sent {
				continue
			}

			if err := s.send(stream, event); err != nil {
				return err
			}
		}
	}
}

// send names the node in an event.
func (s *guardService) send(stream grpc.ServerStreamingServer[guardv1alpha1.EventsResponse], event *guardv1alpha1.EventsResponse) error {
	event.Metadata = s.node.metadata()

	return stream.Send(event)
}

// tail sends the newest actions and returns the id of the last one.
func (s *guardService) tail(ctx context.Context, count int, stream grpc.ServerStreamingServer[guardv1alpha1.EventsResponse]) (string, error) {
	if count == 0 {
		return "", nil
	}

	actions, err := list[*resources.GuardAction](ctx, s.node.State)
	if err != nil {
		return "", statusOf(err)
	}

	if count > 0 {
		actions = actions[max(0, len(actions)-count):]
	}

	last := ""

	for _, action := range actions {
		last = action.Metadata().ID()

		if err := s.send(stream, actionEvent(last, action.TypedSpec())); err != nil {
			return "", err
		}
	}

	return last, nil
}

// eventOf is the event that a resource's change is, or nil: most changes are new figures alone.
func eventOf(change state.Event) *guardv1alpha1.EventsResponse {
	if change.Resource == nil {
		return nil
	}

	id := change.Resource.Metadata().ID()

	if override, ok := change.Resource.(*resources.Override); ok {
		return overrideEvent(id, override.TypedSpec(), change.Type)
	}

	if change.Type == state.Destroyed {
		return nil
	}

	switch now := change.Resource.(type) {
	case *resources.GuardAction:
		if change.Type == state.Created {
			return actionEvent(id, now.TypedSpec())
		}
	case *resources.GuardStatus:
		if spec, before := now.TypedSpec(), previous[*resources.GuardStatus](change); spec.State != before.State {
			return event(eventState, spec.Since, spec.Target, "", spec.State, before.State, spec.Message)
		}
	case *resources.RuleStatus:
		if spec, before := now.TypedSpec(), previous[*resources.RuleStatus](change); spec.State != before.State {
			cut := strings.LastIndexByte(id, '/')

			return event(eventRule, spec.Since, id[:max(0, cut)], id[cut+1:], spec.State, before.State, spec.Reason)
		}
	case *resources.Condition:
		if spec, before := now.TypedSpec(), previous[*resources.Condition](change); spec.Reason != before.Reason {
			return event(eventCondition, spec.Since, "", id, spec.Reason, before.Reason, spec.Message)
		}
	case *resources.Verdict:
		spec := now.TypedSpec()

		return event(eventVerdict, spec.At, id, spec.Rule, spec.Outcome, "", spec.Reason)
	}

	return nil
}

// previous is what a resource was before the change; the zero value when it was not there.
func previous[R interface{ TypedSpec() *S }, S any](change state.Event) S {
	var none S

	if old, ok := change.Old.(R); ok {
		return *old.TypedSpec()
	}

	return none
}

func overrideEvent(id string, spec *resources.OverrideSpec, change state.EventType) *guardv1alpha1.EventsResponse {
	if change == state.Destroyed {
		return event(eventOverride, time.Now(), id, spec.Kind, "ended", "in force", spec.Reason)
	}

	return event(eventOverride, spec.Since, id, spec.Kind, "in force", "", spec.Reason)
}

func event(kind string, at time.Time, target, name, now, before, message string) *guardv1alpha1.EventsResponse {
	return &guardv1alpha1.EventsResponse{
		At: protoTime(at), Kind: kind, Target: target, Name: name, State: now, Before: before, Message: message,
	}
}

func actionEvent(id string, spec *resources.GuardActionSpec) *guardv1alpha1.EventsResponse {
	action := event(eventAction, spec.At, spec.Target, spec.Action, "", "", spec.Reason)
	action.Action = protoAction(id, spec)

	return action
}
