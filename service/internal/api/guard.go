// SPDX-License-Identifier: MPL-2.0

//go:build linux

package api

import (
	"context"
	"errors"
	"sync"

	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
	"github.com/spegel-guard/spegel-guard/service/internal/override"
)

// guardService answers from the resources: it knows nothing that a watcher of them could not know, but for
// the past.
type guardService struct {
	guardv1alpha1.UnimplementedGuardServiceServer

	node      Node
	capturing sync.Mutex
}

// metadata names this node by its hostname, as machined's own answers do.
func (n Node) metadata() *common.Metadata {
	return &common.Metadata{Hostname: n.Name.String()}
}

// statusOf is an error with the code that clients decide on.
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
