// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"sync"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/state"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

const (
	// watchPace is how often a node is asked at most, however fast its resources change.
	watchPace = time.Second
	// watchRetry is how long a node that is lost is left alone.
	watchRetry = 3 * time.Second
)

// run asks once, or with --watch again whenever resources of a type change.
func (q query[T]) run(ctx context.Context, a *app, watch bool, kind resource.Type) error {
	if watch {
		return q.watch(ctx, a, kind)
	}

	return q.ask(ctx, a)
}

// watch asks each node again whenever its resources of a type change, until the context ends. What is lost
// comes back when the node does.
func (q query[T]) watch(ctx context.Context, a *app, kind resource.Type) error {
	return a.follow(ctx, q.columns, func(ctx context.Context, node *client.Node, show func(...output.Item) error) error {
		return q.follow(ctx, a.Timeout, node, kind, show)
	})
}

// follow does something with every node until the context ends, and again when it failed. What it shows is
// printed as it comes; an error of the printing ends all of it.
func (a *app) follow(
	ctx context.Context, columns []output.Column, do func(ctx context.Context, node *client.Node, show func(...output.Item) error) error,
) error {
	printer, fleet, err := a.start(columns)
	if err != nil {
		return err
	}

	defer fleet.Close() //nolint:errcheck // all is said

	var (
		printing sync.Mutex
		group    sync.WaitGroup
		writeErr error
	)

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	show := func(items ...output.Item) error {
		printing.Lock()
		defer printing.Unlock()

		if err := printer.Print(items...); err != nil && writeErr == nil {
			writeErr = err

			cancel()
		}

		return writeErr
	}

	for _, node := range fleet.Nodes() {
		group.Go(func() { again(ctx, a, node, func() error { return do(ctx, node, show) }) })
	}

	group.Wait()

	return writeErr
}

// again does something with a node until the context ends, and says once that it failed.
func again(ctx context.Context, a *app, node *client.Node, do func() error) {
	said := ""

	for ctx.Err() == nil {
		err := do()
		if err == nil || ctx.Err() != nil {
			said = ""
		} else if text := (&client.NodeError{Node: node.Name, Err: err}).Error(); text != said {
			a.note("%s", text)

			said = text
		}

		select {
		case <-ctx.Done():
		case <-time.After(watchRetry):
		}
	}
}

func (q query[T]) follow(ctx context.Context, timeout time.Duration, node *client.Node, kind resource.Type, show func(...output.Item) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	changes := make(chan state.Event)

	if err := node.Resources.WatchKind(ctx, resource.NewMetadata(resources.Namespace, kind, "", resource.VersionUndefined), changes); err != nil {
		return err
	}

	for {
		value, err := within(ctx, timeout, node, q.question)
		if err != nil {
			return err
		}

		if err := show(q.shown(node, value)...); err != nil {
			return err
		}

		if err := next(ctx, changes); err != nil {
			return err
		}
	}
}

func within[T any](ctx context.Context, timeout time.Duration, node *client.Node, question func(*client.Node, context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	return question(node, ctx)
}

// next waits for a change, and takes those that come soon after it for the same.
func next(ctx context.Context, changes <-chan state.Event) error {
	var pace <-chan time.Time

	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case change := <-changes:
			if change.Type == state.Errored {
				return change.Error
			}

			if pace == nil {
				pace = time.After(watchPace)
			}
		case <-pace:
			return nil
		}
	}
}
