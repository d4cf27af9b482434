// SPDX-License-Identifier: MPL-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	"github.com/spegel-guard/spegel-guard/pkg/client"
)

// query is a question to every node, and how its answer is shown.
type query[T any] struct {
	columns  []output.Column
	question func(*client.Node, context.Context) (T, error)
	// rows of an answer; or items, where one answer is several documents.
	rows  func(T) []output.Row
	items func(node string, answer T) []output.Item
	// arrange puts the items of several nodes in order; nil is by node.
	arrange func([]output.Item)
	// judge tells the exit code that an answer stands for; nil is 0.
	judge func(T) int
	// first is printed before any answer.
	first []output.Item
}

// shown is what is printed of an answer.
func (q query[T]) shown(node *client.Node, answer T) []output.Item {
	if q.items != nil {
		return q.items(node.Name, answer)
	}

	return []output.Item{{Node: node.Name, Value: answer, Rows: q.rows(answer)}}
}

// quiet is how long nothing must come before what there is gets printed: most nodes answer together and
// are shown in order, and a few that hang do not hold them back.
const quiet = 250 * time.Millisecond

// ask asks all nodes once, prints the answers and returns the errors of those that have none, together.
func (q query[T]) ask(ctx context.Context, a *app) error {
	printer, fleet, err := a.start(q.columns)
	if err != nil {
		return err
	}

	defer fleet.Close() //nolint:errcheck // all is said

	outcome := outcome{of: len(fleet.Nodes()), judging: q.judge != nil}

	items := q.first

	for batch := range batches(client.Ask(ctx, fleet, q.question), fleet.Nodes()) {
		for _, result := range batch {
			outcome.add(result.Err)

			if result.Err != nil {
				continue
			}

			items = append(items, q.shown(result.Node, result.Value)...)

			if q.judge != nil {
				outcome.code = max(outcome.code, q.judge(result.Value))
			}
		}

		if q.arrange != nil {
			q.arrange(items)
		}

		if err := printer.Print(items...); err != nil {
			return err
		}

		items = nil
	}

	return outcome.err()
}

// batches puts results that come together into the order of the nodes.
func batches[T any](results iter.Seq[client.Result[T]], nodes []*client.Node) iter.Seq[[]client.Result[T]] {
	place := map[*client.Node]int{}

	for i, node := range nodes {
		place[node] = i
	}

	return func(yield func([]client.Result[T]) bool) {
		arriving := make(chan client.Result[T])
		done := make(chan struct{})

		defer close(done)

		go func() {
			defer close(arriving)

			for result := range results {
				select {
				case arriving <- result:
				case <-done:
					return
				}
			}
		}()

		for batch, more := nextBatch(arriving); len(batch) > 0 || more; batch, more = nextBatch(arriving) {
			slices.SortFunc(batch, func(a, b client.Result[T]) int { return cmp.Compare(place[a.Node], place[b.Node]) })

			if len(batch) > 0 && !yield(batch) || !more {
				return
			}
		}
	}
}

// nextBatch collects results until nothing comes for a while; more tells that others may.
func nextBatch[T any](arriving <-chan T) (batch []T, more bool) {
	var silence <-chan time.Time

	for {
		select {
		case result, ok := <-arriving:
			if !ok {
				return batch, false
			}

			batch = append(batch, result)
			silence = time.After(quiet)
		case <-silence:
			return batch, true
		}
	}
}

// outcome of a command on several nodes.
type outcome struct {
	of int
	// judging: what is not known of a node counts as unavailable, whatever the reason.
	judging bool
	code    int
	failed  []error
}

func (o *outcome) add(err error) {
	if err == nil {
		return
	}

	o.failed = append(o.failed, err)

	if o.judging || client.IsUnreachableError(err) {
		o.code = exitUnavailable
	} else {
		o.code = max(o.code, 1)
	}
}

// err is nil when all is well; else it has the exit code, and what went wrong with which nodes.
func (o *outcome) err() error {
	switch {
	case len(o.failed) == 0 && o.code == 0:
		return nil
	case len(o.failed) == 0:
		return &exitError{code: o.code}
	case o.of == 1:
		return &exitError{code: o.code, err: o.failed[0]}
	}

	texts := make([]string, len(o.failed))

	for i, err := range o.failed {
		texts[i] = "\n\t" + err.Error()
	}

	slices.Sort(texts)

	return &exitError{code: o.code, err: fmt.Errorf("%d of %d nodes failed:%s", len(o.failed), o.of, strings.Join(texts, ""))}
}
