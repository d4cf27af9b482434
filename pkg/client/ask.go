// SPDX-License-Identifier: MPL-2.0

package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Result is one node's answer.
type Result[T any] struct {
	Node  *Node
	Value T
	// Err is why there is none: a NodeError.
	Err error
}

// NodeError is what went wrong with a node.
type NodeError struct {
	Node string
	Err  error
}

// Error implements error.
func (e *NodeError) Error() string {
	if s, ok := status.FromError(e.Err); ok {
		return fmt.Sprintf("%s: %s: %s", e.Node, s.Code(), s.Message())
	}

	return e.Node + ": " + e.Err.Error()
}

// Unwrap returns the error itself.
func (e *NodeError) Unwrap() error { return e.Err }

// IsUnreachableError tells that a node did not answer, rather than refuse.
func IsUnreachableError(err error) bool {
	var node *NodeError

	if errors.As(err, &node) {
		err = node.Err
	}

	code := status.Code(err)

	return code == codes.Unavailable || code == codes.DeadlineExceeded || errors.Is(err, ErrStraggler)
}

// Ask asks all nodes at once and yields what they answer, in the order in which it comes. Each has the
// fleet's timeout. Questions that are not answered when the loop ends are given up.
func Ask[T any](ctx context.Context, fleet *Fleet, question func(*Node, context.Context) (T, error)) iter.Seq[Result[T]] {
	return func(yield func(Result[T]) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()

		results := askAll(ctx, fleet, question)

		for range fleet.nodes {
			if !yield(<-results) {
				return
			}
		}
	}
}

// askAll begins to ask all nodes. There is room for all answers: none waits for a reader that has gone.
func askAll[T any](ctx context.Context, fleet *Fleet, question func(*Node, context.Context) (T, error)) <-chan Result[T] {
	results := make(chan Result[T], len(fleet.nodes))

	for _, node := range fleet.nodes {
		go func() { results <- ask(ctx, fleet.timeout, node, question) }()
	}

	return results
}

func ask[T any](ctx context.Context, timeout time.Duration, node *Node, question func(*Node, context.Context) (T, error)) Result[T] {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	value, err := question(node, ctx)

	switch {
	case err == nil:
		return Result[T]{Node: node, Value: value}
	case status.Code(err) == codes.DeadlineExceeded:
		err = status.Errorf(codes.DeadlineExceeded, "no answer within %s", timeout)
	}

	return Result[T]{Node: node, Err: &NodeError{Node: node.Name, Err: err}}
}

// straggler is how much longer than most of them the last nodes may take, where all answers are wanted together.
const (
	stragglerShare = 0.8
	stragglerGrace = time.Second
	stragglerTimes = 2
)

// ErrStraggler is the error of a node that Gather did not wait for.
var ErrStraggler = errors.New("no answer yet, when most others had answered long ago")

// Gather asks all nodes at once and returns their results in the fleet's order. When four fifths have
// answered (or failed), the others have twice as long as those took, and at least a second more: what is
// compared must be of one time, and a few nodes that hang must not hold back the rest.
func Gather[T any](ctx context.Context, fleet *Fleet, question func(*Node, context.Context) (T, error)) []Result[T] {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	var (
		began   = time.Now()
		arrived = askAll(ctx, fleet, question)
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
			result = Result[T]{Node: node, Err: &NodeError{Node: node.Name, Err: ErrStraggler}}
		}

		results[i] = result
	}

	return results
}
