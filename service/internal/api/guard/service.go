// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package guard is the guard's own gRPC service: what reading its resources cannot do.
package guard

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

// Service implements guardv1alpha1.GuardServiceServer.
type Service struct {
	guardv1alpha1.UnimplementedGuardServiceServer

	node Node
}

// NewService returns the service of a node.
func NewService(node Node) *Service { return &Service{node: node} }

// targets returns the target with the id, or all of them for an empty one, in the order of their ids. The error for an
// unknown target has the code NotFound.
func (s *Service) targets(ctx context.Context, id string) ([]*resources.Target, error) {
	if id != "" {
		target, err := safe.StateGetByID[*resources.Target](ctx, s.node.State, id)
		if state.IsNotFoundError(err) {
			return nil, status.Errorf(codes.NotFound, "unknown target %q", id)
		}

		return []*resources.Target{target}, err
	}

	list, err := safe.StateListAll[*resources.Target](ctx, s.node.State)
	if err != nil {
		return nil, fmt.Errorf("failed to list the targets: %w", err)
	}

	targets := slices.Collect(list.All())

	slices.SortFunc(targets, func(a, b *resources.Target) int { return cmp.Compare(a.Metadata().ID(), b.Metadata().ID()) })

	return targets, nil
}
