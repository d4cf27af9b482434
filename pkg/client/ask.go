// SPDX-License-Identifier: MPL-2.0

package client

import (
	"context"
	"errors"
	"iter"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Result is one node's response.
type Result[T any] struct {
	Node  *Node
	Value T
	// Err is a NodeError; nil on success.
	Err error
}

// Ask sends a request to all nodes at once and yields the results in the order in which they arrive. Each request has the
// fleet's timeout. Requests in progress are cancelled when the loop ends.
func Ask[T any](ctx context.Context, fleet *Fleet, request func(*Node, context.Context) (T, error)) iter.Seq[Result[T]] {
	return func(yield func(Result[T]) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()

		results := askAll(ctx, fleet, request)

		for range fleet.nodes {
			if !yield(<-results) {
				return
			}
		}
	}
}

// askAll sends the request to all nodes. The channel has room for all results: none waits for a reader that is gone.
func askAll[T any](ctx context.Context, fleet *Fleet, request func(*Node, context.Context) (T, error)) <-chan Result[T] {
	results := make(chan Result[T], len(fleet.nodes))

	for _, node := range fleet.nodes {
		go func() { results <- ask(ctx, fleet.timeout, node, request) }()
	}

	return results
}

func ask[T any](ctx context.Context, timeout time.Duration, node *Node, request func(*Node, context.Context) (T, error)) Result[T] {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	value, err := request(node, ctx)

	switch {
	case err == nil:
		return Result[T]{Node: node, Value: value}
	case status.Code(err) == codes.DeadlineExceeded:
		err = status.Errorf(codes.DeadlineExceeded, "no response within %s (--timeout)", timeout)
	}

	return Result[T]{Node: node, Err: node.Failure(err)}
}

// Bounds of how much longer than most nodes the last ones may take in Gather.
const (
	stragglerShare = 0.8
	stragglerGrace = time.Second
	stragglerTimes = 2
)

// ErrStraggler is the error of a node that Gather did not wait for.
var ErrStraggler = errors.New("no response yet, when most other nodes had responded long ago")

// Gather sends a request to all nodes at once and returns their results in the fleet's order. When four fifths have
// responded or failed, the others get as much time again, and at least a second: figures that are compared must be of one
// time, and a few nodes that hang must not delay the rest.
func Gather[T any](ctx context.Context, fleet *Fleet, request func(*Node, context.Context) (T, error)) []Result[T] {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	var (
		began   = time.Now()
		arrived = askAll(ctx, fleet, request)
		found   = map[*Node]Result[T]{}
		late    <-chan time.Time
	)

wait:
	for len(found) < len(fleet.nodes) {
		select {
		case result := <-arrived:
			found[result.Node] = result
		case <-late:
			break wait
		}

		if late == nil && float64(len(found)) >= stragglerShare*float64(len(fleet.nodes)) {
			late = time.After(max(stragglerGrace, (stragglerTimes-1)*time.Since(began)))
		}
	}

	results := make([]Result[T], len(fleet.nodes))

	for i, node := range fleet.nodes {
		result, ok := found[node]
		if !ok {
			result = Result[T]{Node: node, Err: node.Failure(ErrStraggler)}
		}

		results[i] = result
	}

	return results
}
