//go:build linux

package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
	"github.com/spegel-guard/spegel-guard/service/internal/override"
)

// guardService serves what reading the guard's resources cannot.
type guardService struct {
	guardv1alpha1.UnimplementedGuardServiceServer

	node      Node
	capturing sync.Mutex
}

// metadata names this node by its hostname, as machined does.
func (n Node) metadata() *common.Metadata {
	return &common.Metadata{Hostname: n.Name.String()}
}

// errNoTargets is the error of a request about targets on a node that has none.
var errNoTargets = fmt.Errorf("%w: the node has none", override.ErrNoTarget)

// targets returns the target with the id, or all of them for an empty one, in the order of their ids.
func (s *guardService) targets(ctx context.Context, id string) ([]*resources.Target, error) {
	if id != "" {
		target, err := safe.StateGetByID[*resources.Target](ctx, s.node.State, id)
		if state.IsNotFoundError(err) {
			return nil, override.NoTarget(id)
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

// statusOf returns the error with the gRPC code that clients distinguish.
func statusOf(err error) error {
	var field config.FieldError

	switch {
	case err == nil:
		return nil
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
