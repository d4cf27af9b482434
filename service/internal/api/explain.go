// SPDX-License-Identifier: MPL-2.0

//go:build linux

package api

import (
	"context"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
	"github.com/spegel-guard/spegel-guard/service/internal/override"
)

// Explain implements guardv1alpha1.GuardServiceServer.
func (s *guardService) Explain(ctx context.Context, request *guardv1alpha1.ExplainRequest) (*guardv1alpha1.ExplainResponse, error) {
	message, err := s.explanation(ctx, request.GetTarget())
	if err != nil {
		return nil, statusOf(err)
	}

	return &guardv1alpha1.ExplainResponse{Messages: []*guardv1alpha1.Explanation{message}}, nil
}

func (s *guardService) explanation(ctx context.Context, wanted string) (*guardv1alpha1.Explanation, error) {
	message := &guardv1alpha1.Explanation{Metadata: s.node.metadata(), State: resources.StateNoTarget}

	status, err := find[*resources.GuardStatus](ctx, s.node.State, resources.GuardStatusID)
	if err != nil {
		return nil, err
	}

	if status != nil {
		spec := status.TypedSpec()
		message.State, message.Mode, message.Message = spec.State, spec.Mode, spec.Message
	}

	conditions, err := list[*resources.Condition](ctx, s.node.State)
	if err != nil {
		return nil, err
	}

	for _, condition := range conditions {
		spec := condition.TypedSpec()
		message.Conditions = append(message.Conditions, &guardv1alpha1.Condition{
			Name: condition.Metadata().ID(), Ok: spec.OK, Reason: spec.Reason, Message: spec.Message, Since: protoTime(spec.Since),
		})
	}

	if message.Overrides, err = s.overrides(ctx); err != nil {
		return nil, err
	}

	ids, err := s.targetIDs(ctx, wanted)
	if err != nil {
		return nil, err
	}

	for _, id := range ids {
		target, err := s.targetExplanation(ctx, id)
		if err != nil {
			return nil, err
		}

		message.Targets = append(message.Targets, target)
	}

	return message, nil
}

func (s *guardService) targetExplanation(ctx context.Context, id string) (*guardv1alpha1.TargetExplanation, error) {
	target := &guardv1alpha1.TargetExplanation{Id: id}

	var err error

	if target.Rules, err = s.rules(ctx, id); err != nil {
		return nil, err
	}

	if target.Ceiling, err = s.ceiling(ctx, id); err != nil {
		return nil, err
	}

	hold, err := find[*resources.DesiredCeiling](ctx, s.node.State, id)
	if err != nil {
		return nil, err
	}

	if hold != nil && !hold.TypedSpec().None() {
		target.Hold = protoHold(hold.TypedSpec())
	}

	verdict, err := find[*resources.Verdict](ctx, s.node.State, id)
	if err != nil {
		return nil, err
	}

	if verdict != nil {
		target.Verdict = protoVerdict(verdict.TypedSpec())
	}

	return target, nil
}

// targetIDs are the targets that a request is about: the one it names, or all of them.
func (s *guardService) targetIDs(ctx context.Context, wanted string) ([]string, error) {
	if wanted == "" {
		targets, err := list[*resources.Target](ctx, s.node.State)
		if err != nil {
			return nil, err
		}

		ids := make([]string, len(targets))

		for i := range targets {
			ids[i] = targets[i].Metadata().ID()
		}

		return ids, nil
	}

	target, err := find[*resources.Target](ctx, s.node.State, wanted)
	if err != nil {
		return nil, err
	}

	if target == nil {
		return nil, override.NoTarget(wanted)
	}

	return []string{wanted}, nil
}
