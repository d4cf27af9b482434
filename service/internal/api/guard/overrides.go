//go:build linux

package guard

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
	"github.com/spegel-guard/spegel-guard/service/internal/api/auth"
	"github.com/spegel-guard/spegel-guard/service/internal/override"
)

// Release implements guardv1alpha1.GuardServiceServer.
func (s *Service) Release(ctx context.Context, r *guardv1alpha1.ReleaseRequest) (*guardv1alpha1.ReleaseResponse, error) {
	result, err := s.result(s.node.Overrides.Release(ctx, overrideOf(ctx, r.GetTarget(), r.GetReason(), r.GetFor().AsDuration())))

	return &guardv1alpha1.ReleaseResponse{Messages: result}, err
}

// Throttle implements guardv1alpha1.GuardServiceServer.
func (s *Service) Throttle(ctx context.Context, r *guardv1alpha1.ThrottleRequest) (*guardv1alpha1.ThrottleResponse, error) {
	result, err := s.result(s.node.Overrides.Throttle(ctx, overrideOf(ctx, r.GetTarget(), r.GetReason(), r.GetFor().AsDuration()), r.GetCeilingMillicores()))

	return &guardv1alpha1.ThrottleResponse{Messages: result}, err
}

// Pause implements guardv1alpha1.GuardServiceServer.
func (s *Service) Pause(ctx context.Context, r *guardv1alpha1.PauseRequest) (*guardv1alpha1.PauseResponse, error) {
	result, err := s.result(s.node.Overrides.Pause(ctx, overrideOf(ctx, "", r.GetReason(), r.GetFor().AsDuration())))

	return &guardv1alpha1.PauseResponse{Messages: result}, err
}

// Resume implements guardv1alpha1.GuardServiceServer.
func (s *Service) Resume(ctx context.Context, r *guardv1alpha1.ResumeRequest) (*guardv1alpha1.ResumeResponse, error) {
	result, err := s.result(s.node.Overrides.Resume(ctx, overrideOf(ctx, r.GetTarget(), r.GetReason(), 0)))

	return &guardv1alpha1.ResumeResponse{Messages: result}, err
}

// overrideOf returns the caller's request.
func overrideOf(ctx context.Context, target, reason string, duration time.Duration) override.Order {
	return override.Order{By: auth.FromContext(ctx).Person, Target: target, Reason: reason, For: duration}
}

// result converts what the override manager returns.
func (s *Service) result(overrides []override.Given, err error) ([]*guardv1alpha1.OverrideResult, error) {
	if err != nil {
		return nil, statusOf(err)
	}

	result := &guardv1alpha1.OverrideResult{Metadata: s.node.metadata()}

	for _, o := range overrides {
		result.Overrides = append(result.Overrides, &guardv1alpha1.Override{
			Target: o.Target, Kind: o.Kind, CeilingMillicores: o.CeilingMillicores,
			Since: timestamppb.New(o.Since), Until: timestamppb.New(o.Until), Reason: o.Reason,
			By: &guardv1alpha1.Person{Subject: o.By.Subject, Fingerprint: o.By.Fingerprint, From: o.By.From},
		})
	}

	return []*guardv1alpha1.OverrideResult{result}, nil
}
