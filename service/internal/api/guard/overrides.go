// SPDX-License-Identifier: MPL-2.0

//go:build linux

package guard

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/spegel-guard/spegel-guard/pkg/config"
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

// checkReason checks the reason of a capture, which is recorded as that of an override is.
func (s *Service) checkReason(reason string) error {
	return override.Request{Reason: reason}.CheckReason()
}

// overrideOf returns the caller's request.
func overrideOf(ctx context.Context, target, reason string, duration time.Duration) override.Request {
	return override.Request{By: auth.FromContext(ctx).Person, Target: target, Reason: reason, For: duration}
}

// result converts what the override manager returns.
func (s *Service) result(overrides []override.Override, err error) ([]*guardv1alpha1.OverrideResult, error) {
	if err != nil {
		return nil, statusOf(err)
	}

	result := &guardv1alpha1.OverrideResult{Metadata: s.node.metadata()}

	for _, o := range overrides {
		result.Overrides = append(result.Overrides, &guardv1alpha1.Override{
			Target: o.Target, Kind: o.Kind, CeilingMillicores: o.CeilingMillicores,
			Since: timestamp(o.Since), Until: timestamp(o.Until), For: durationpb.New(o.UntilClock - o.SinceClock), Reason: o.Reason,
			By: &guardv1alpha1.Person{Subject: o.By.Subject, Fingerprint: o.By.Fingerprint, From: o.By.From},
		})
	}

	return []*guardv1alpha1.OverrideResult{result}, nil
}

// timestamp returns nil for a time that is not known.
func timestamp(at time.Time) *timestamppb.Timestamp {
	if at.IsZero() {
		return nil
	}

	return timestamppb.New(at)
}

// statusOf returns the error with the gRPC code that clients distinguish.
func statusOf(err error) error {
	var field config.FieldError

	switch {
	case err == nil || status.Code(err) != codes.Unknown:
		return err
	case errors.As(err, &field):
		return status.Error(codes.InvalidArgument, err.Error())
	case errors.Is(err, override.ErrNoTarget):
		return status.Error(codes.NotFound, err.Error())
	case errors.Is(err, override.ErrObserving), errors.Is(err, override.ErrNoConfig):
		return status.Error(codes.FailedPrecondition, err.Error())
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, err.Error())
	default:
		return status.Error(codes.Internal, err.Error())
	}
}
