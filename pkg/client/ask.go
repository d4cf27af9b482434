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

// Ask sends a request to all nodes and yields the results in the order in which they arrive. A bounded number of nodes are asked at
// the same time, in the fleet's order; the fleet's timeout begins for each when its turn comes. Requests in progress are cancelled
// when the loop ends.
func Ask[T any](ctx context.Context, fleet *Fleet, request func(*Node, context.Context) (T, error)) iter.Seq[Result[T]] {
	return func(yield func(Result[T]) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()

		results, _ := askAll(ctx, fleet, request)

		for range fleet.nodes {
			if !yield(<-results) {
				return
			}
		}
	}
}

// askAll sends the request to all nodes. The channel of the results has room for all: none waits for a reader that is gone. The
// other is closed when every node has had its turn.
func askAll[T any](ctx context.Context, fleet *Fleet, request func(*Node, context.Context) (T, error)) (<-chan Result[T], <-chan struct{}) {
	results, begun := make(chan Result[T], len(fleet.nodes)), make(chan struct{})

	go func() {
		defer close(begun)

		for _, node := range fleet.nodes {
			end, err := fleet.turns.begin(ctx, node)
			if err != nil {
				results <- Result[T]{Node: node, Err: node.Failure(status.FromContextError(err).Err())}

				continue
			}

			go func() {
				defer end()

				results <- ask(ctx, fleet.timeout, node, request)
			}()
		}
	}()

	return results, begun
}

func ask[T any](ctx context.Context, timeout time.Duration, node *Node, request func(*Node, context.Context) (T, error)) Result[T] {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	if node.conn != nil {
		// All parts of the request use one connection.
		if _, err := node.conn.use(); err != nil {
			return Result[T]{Node: node, Err: node.Failure(err)}
		}

		defer node.conn.release()
	}

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

// Gather sends a request to all nodes, as Ask does, and returns their results in the fleet's order. When every node has had its turn
// and four fifths have responded or failed, the others get as much time again, and at least a second: figures that are compared must
// be of one time, and a few nodes that hang must not delay the rest.
func Gather[T any](ctx context.Context, fleet *Fleet, request func(*Node, context.Context) (T, error)) []Result[T] {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	var (
		start          = time.Now()
		arrived, begun = askAll(ctx, fleet, request)
		found          = map[*Node]Result[T]{}
		late           <-chan time.Time
	)

wait:
	for len(found) < len(fleet.nodes) {
		select {
		case result := <-arrived:
			found[result.Node] = result
		case <-begun:
			begun = nil
		case <-late:
			break wait
		}

		if late == nil && begun == nil && float64(len(found)) >= stragglerShare*float64(len(fleet.nodes)) {
			late = time.After(max(stragglerGrace, (stragglerTimes-1)*time.Since(start)))
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
