// SPDX-License-Identifier: MPL-2.0

//go:build linux

package guard

import (
	"cmp"
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
	"github.com/spegel-guard/spegel-guard/service/internal/api/auth"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

// Capture implements guardv1alpha1.GuardServiceServer.
func (s *Service) Capture(ctx context.Context, request *guardv1alpha1.CaptureRequest) (*guardv1alpha1.CaptureResponse, error) {
	if err := s.checkReason(request.GetReason()); err != nil {
		return nil, statusOf(err)
	}

	targets, err := s.targets(ctx, request.GetTarget())
	if err == nil && len(targets) == 0 {
		err = status.Error(codes.NotFound, "the node has no target")
	}

	if err != nil {
		return nil, statusOf(err)
	}

	result := &guardv1alpha1.CaptureResult{Metadata: s.node.metadata()}

	for _, target := range targets {
		id := target.Metadata().ID()
		path, failure := s.node.Capture(ctx, id, *target.TypedSpec())
		evidence := &guardv1alpha1.Evidence{Target: id, Path: path}

		if errors.Is(failure, record.ErrCapturing) && len(result.GetEvidence()) == 0 {
			return nil, status.Errorf(codes.Aborted, "%v: try again later", record.ErrCapturing)
		}

		if failure != nil {
			evidence.Error = failure.Error()
		}

		// The capture has ended. What cannot be published now is published, and logged, by the next pass of the enforcer.
		action := resources.GuardActionSpec{
			Action: resources.ActionCapture, Target: id, Rule: resources.RuleOverride, Reason: cmp.Or(request.GetReason(), "requested"),
			By: auth.FromContext(ctx).Person, Evidence: path, Error: evidence.Error,
		}
		s.node.Actions.Record(context.WithoutCancel(ctx), action) //nolint:errcheck // see above

		result.Evidence = append(result.Evidence, evidence)
	}

	return &guardv1alpha1.CaptureResponse{Messages: []*guardv1alpha1.CaptureResult{result}}, nil
}
