// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cosi-project/runtime/pkg/state"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	"github.com/spegel-guard/spegel-guard/pkg/client"
)

// query is a request to every node, and how to print the responses.
type query[T any] struct {
	columns  []output.Column
	question func(*client.Node, context.Context) (T, error)
	// rows of a response; or items, where a response is several documents.
	rows  func(T) []output.Row
	items func(node string, response T) []output.Item
	// arrange sorts the items of several nodes; nil sorts by node.
	arrange func([]output.Item)
	// judge returns the exit code of a response; nil is 0.
	judge func(T) int
	// changed reports whether a change is printed by --watch; nil for each.
	changed func(state.Event) bool
	// failed reports whether a node failed to do what was requested, which its response says; nil for never. The exit code is 1.
	failed func(T) bool
	// first is printed before any response.
	first []output.Item
	// printer is another one than that of --output; nil for that.
	printer output.Printer
}

// shown returns the items to print of a response.
func (q query[T]) shown(node *client.Node, response T) []output.Item {
	if q.items != nil {
		return q.items(node.Name, response)
	}

	return []output.Item{{Node: node.Name, Value: response, Rows: q.rows(response)}}
}

// start returns the printer of the query and connects to the nodes.
func (q query[T]) start(a *app) (output.Printer, *client.Fleet, error) {
	if q.printer == nil {
		return a.start(q.columns)
	}

	fleet, err := a.open(a.Options)

	return q.printer, fleet, err
}

// ask sends the request to all nodes, prints the responses and returns the errors of all nodes in one.
func (q query[T]) ask(ctx context.Context, a *app) error {
	printer, fleet, err := q.start(a)
	if err != nil {
		return err
	}

	defer fleet.Close() //nolint:errcheck // the command ends

	outcome := outcome{of: len(fleet.Nodes()), judging: q.judge != nil}
	progress := a.progress(len(fleet.Nodes()))

	defer progress.end()

	items, pace := q.first, a.pace

	if q.arrange != nil {
		pace.longest = 0 // all that come together are arranged
	}

	for batch := range batches(client.Ask(ctx, fleet, counted(progress, q.question)), fleet.Nodes(), pace) {
		for _, result := range batch {
			outcome.add(result.Err)

			if result.Err != nil {
				continue
			}

			items = append(items, q.shown(result.Node, result.Value)...)

			if q.judge != nil {
				outcome.code = max(outcome.code, q.judge(result.Value))
			}

			if q.failed != nil && q.failed(result.Value) {
				outcome.code = max(outcome.code, 1)
			}
		}

		if q.arrange != nil {
			q.arrange(items)
		}

		if err := outcome.show(func() error { return progress.over(func() error { return printer.Print(items...) }) }); err != nil {
			return err
		}

		items = nil
	}

	return outcome.err()
}

// ownName stands for this command where the others are nodes.
const ownName = "(client)"

// outcome of a command on several nodes.
type outcome struct {
	of int
	// judging: a node without a response counts as unavailable, whatever the reason.
	judging bool
	code    int
	failed  []error
	// unwritten are the nodes of which an item could not be written.
	unwritten map[string]bool
}

// show calls a function that prints items, and returns its error. Items that cannot be written are the error of their nodes: they must
// not end the requests to others.
func (o *outcome) show(write func() error) error {
	err := write()

	var failed output.ItemErrors

	if !errors.As(err, &failed) {
		return err
	}

	for _, err := range failed {
		if o.unwritten == nil {
			o.unwritten = map[string]bool{}
		}

		// A response may be several documents.
		if !o.unwritten[err.Node] {
			o.unwritten[err.Node] = true
			o.failed = append(o.failed, &client.NodeError{Node: err.Node, Err: err.Err})
		}

		o.code = max(o.code, 1)
	}

	return nil
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

// err returns the exit code and the errors of all nodes; nil without any.
func (o *outcome) err() error {
	switch {
	case len(o.failed) == 0 && o.code == 0:
		return nil
	case len(o.failed) == 0:
		return &exitError{code: o.code}
	}

	nodes := len(o.failed)
	if o.unwritten[ownName] {
		nodes--
	}

	if len(o.failed) == 1 && (o.of == 1 || nodes == 0) {
		return &exitError{code: o.code, err: o.failed[0]}
	}

	return &exitError{code: o.code, err: fmt.Errorf("%d of %d nodes failed:%s", nodes, o.of, byCause(o.failed))}
}

// byCause lists the errors of nodes. What several nodes have in common is written once, with the nodes below it.
func byCause(failed []error) string {
	texts, nodes := map[string]string{}, map[string][]string{}

	for _, err := range failed {
		common := err.Error()

		var failure *client.NodeError

		if errors.As(err, &failure) {
			common = failure.Common()
			nodes[common] = append(nodes[common], failure.Node)
		}

		texts[common] = err.Error()
	}

	var listed []string

	for common, text := range texts {
		if names := nodes[common]; len(names) > 1 {
			slices.Sort(names)

			text = common + "\n\t\t" + strings.Join(names, ", ")
		}

		listed = append(listed, "\n\t"+text)
	}

	slices.Sort(listed)

	return strings.Join(listed, "")
}
