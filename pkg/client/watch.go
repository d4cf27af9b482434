// SPDX-License-Identifier: MPL-2.0

package client

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/state"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// Watch returns the changes of all resources of some types from now on, until the context ends. The last change has an error if the
// connection fails. Watch fails if the watches do not begin within the time for a response, and at least DefaultTimeout: behind an endpoint
// the streams of many nodes share one connection, and when it has no more, others wait without an error.
func (n *Node) Watch(ctx context.Context, kinds ...resource.Type) (<-chan state.Event, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	opening := time.AfterFunc(n.opening, func() {
		cancel(status.Errorf(codes.DeadlineExceeded,
			"the watch did not begin within %s; follow at most 100 nodes through one endpoint, or contact the nodes directly", n.opening))
	})
	changes := make(chan state.Event)

	for _, kind := range kinds {
		if err := n.Resources.WatchKind(ctx, resource.NewMetadata(resources.Namespace, kind, "", resource.VersionUndefined), changes); err != nil {
			err = fmt.Errorf("failed to watch %s: %w", kind, cmp.Or(context.Cause(ctx), err))
			cancel(nil)

			return nil, err
		}
	}

	opening.Stop()

	return changes, nil
}
