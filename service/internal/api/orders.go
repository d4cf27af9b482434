// SPDX-License-Identifier: MPL-2.0

//go:build linux

package api

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
	"github.com/spegel-guard/spegel-guard/service/internal/override"
)

// Release implements guardv1alpha1.GuardServiceServer.
func (s *guardService) Release(ctx context.Context, request *guardv1alpha1.ReleaseRequest) (*guardv1alpha1.ReleaseResponse, error) {
	act, err := s.ordered(s.node.Overrides.Release(ctx, order(ctx, request.GetTarget(), request.GetReason(), request.GetFor().AsDuration())))

	return &guardv1alpha1.ReleaseResponse{Messages: act}, err
}

// Throttle implements guardv1alpha1.GuardServiceServer.
func (s *guardService) Throttle(ctx context.Context, request *guardv1alpha1.ThrottleRequest) (*guardv1alpha1.ThrottleResponse, error) {
	act, err := s.ordered(s.node.Overrides.Throttle(
		ctx, order(ctx, request.GetTarget(), request.GetReason(), request.GetFor().AsDuration()), request.GetCeilingMillicores(),
	))

	return &guardv1alpha1.ThrottleResponse{Messages: act}, err
}

// Pause implements guardv1alpha1.GuardServiceServer.
func (s *guardService) Pause(ctx context.Context, request *guardv1alpha1.PauseRequest) (*guardv1alpha1.PauseResponse, error) {
	act, err := s.ordered(s.node.Overrides.Pause(ctx, order(ctx, "", request.GetReason(), request.GetFor().AsDuration())))

	return &guardv1alpha1.PauseResponse{Messages: act}, err
}

// Resume implements guardv1alpha1.GuardServiceServer.
func (s *guardService) Resume(ctx context.Context, request *guardv1alpha1.ResumeRequest) (*guardv1alpha1.ResumeResponse, error) {
	act, err := s.ordered(s.node.Overrides.Resume(ctx, order(ctx, request.GetTarget(), request.GetReason(), 0)))

	return &guardv1alpha1.ResumeResponse{Messages: act}, err
}

// Capture implements guardv1alpha1.GuardServiceServer.
func (s *guardService) Capture(ctx context.Context, request *guardv1alpha1.CaptureRequest) (*guardv1alpha1.CaptureResponse, error) {
	// A profile takes a while, and one costs the target enough.
	if !s.capturing.TryLock() {
		return nil, status.Error(codes.Aborted, "evidence is being captured already, try again later")
	}

	defer s.capturing.Unlock()

	if err := order(ctx, "", request.GetReason(), 0).CheckReason(); err != nil {
		return nil, statusOf(err)
	}

	ids, err := s.targetIDs(ctx, request.GetTarget())
	if err == nil && len(ids) == 0 {
		err = fmt.Errorf("%w: the node has none", override.ErrNoTarget)
	}

	if err != nil {
		return nil, statusOf(err)
	}

	message := &guardv1alpha1.Act{Metadata: s.node.metadata()}

	for _, id := range ids {
		evidence, err := s.capture(ctx, id, request.GetReason())
		if err != nil {
			return nil, statusOf(err)
		}

		message.Evidence = append(message.Evidence, evidence)
	}

	return &guardv1alpha1.CaptureResponse{Messages: []*guardv1alpha1.Act{message}}, nil
}

// capture keeps one target's evidence and records who wanted it.
func (s *guardService) capture(ctx context.Context, id, reason string) (*guardv1alpha1.Evidence, error) {
	target, err := find[*resources.Target](ctx, s.node.State, id)
	if err != nil || target == nil {
		return nil, err
	}

	evidence := &guardv1alpha1.Evidence{Target: id}

	path, captureErr := s.node.Capture(ctx, id, *target.TypedSpec())
	evidence.Path = path

	if captureErr != nil {
		evidence.Error = captureErr.Error()
	}

	return evidence, s.node.Actions.Record(context.WithoutCancel(ctx), resources.GuardActionSpec{
		Action: resources.ActionCapture, Target: id, Rule: resources.RuleOverride, Reason: cmp.Or(reason, "requested"),
		By: callerFrom(ctx).person, Evidence: path, Error: evidence.Error,
	})
}

// order is what the caller asks for.
func order(ctx context.Context, target, reason string, duration time.Duration) override.Request {
	return override.Request{By: callerFrom(ctx).person, Target: target, Reason: reason, For: duration}
}

// ordered is what came of it.
func (s *guardService) ordered(overrides []override.Override, err error) ([]*guardv1alpha1.Act, error) {
	if err != nil {
		return nil, statusOf(err)
	}

	act := &guardv1alpha1.Act{Metadata: s.node.metadata()}

	for _, given := range overrides {
		act.Overrides = append(act.Overrides, protoOverride(given.Target, given.OverrideSpec))
	}

	return []*guardv1alpha1.Act{act}, nil
}
