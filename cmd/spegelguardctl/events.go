package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	"github.com/spegel-guard/spegel-guard/pkg/client"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

var eventColumns = output.Titles("AT", "KIND", "TARGET", "NAME", "STATE", "BEFORE", "MESSAGE", "+CPU.MAX", "+BY", "+EVIDENCE")

func (a *app) eventsCommand() *cobra.Command {
	var (
		follow bool
		tail   int32
	)

	cmd := &cobra.Command{
		Use:   "events",
		Short: "Show what was done, and with --follow what happens from now on",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if follow {
				return a.followEvents(cmd.Context(), tail)
			}

			return a.pastEvents(cmd.Context(), tail)
		},
	}

	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on, and show what happens")
	cmd.Flags().Int32Var(&tail, "tail", -1, "how many of the last actions to show; -1: all that are known (50)")

	return cmd
}

// pastEvents are the last actions of all nodes, each node's in the order of time.
func (a *app) pastEvents(ctx context.Context, tail int32) error {
	printer, err := a.printer(eventColumns)
	if err != nil {
		return err
	}

	fleet, err := a.open(a.Options)
	if err != nil {
		return err
	}

	defer fleet.Close() //nolint:errcheck // all is said

	question := func(n *client.Node, ctx context.Context) ([]*guardv1alpha1.EventsResponse, error) {
		var events []*guardv1alpha1.EventsResponse

		err := n.Events(ctx, &guardv1alpha1.EventsRequest{Tail: tail, Once: true}, func(e *guardv1alpha1.EventsResponse) error {
			events = append(events, e)

			return nil
		})

		return events, err
	}

	outcome := outcome{of: len(fleet.Nodes())}

	for batch := range batches(client.Ask(ctx, fleet, question), fleet.Nodes()) {
		var items []output.Item

		for _, result := range batch {
			outcome.add(result.Err)

			for _, event := range result.Value {
				items = append(items, eventItem(result.Node.Name, event))
			}
		}

		// Across nodes what happened is one story.
		slices.SortStableFunc(items, func(a, b output.Item) int { return cmp.Compare(a.Rows[0].Cells[0], b.Rows[0].Cells[0]) })

		if err := printer.Print(items...); err != nil {
			return err
		}
	}

	return outcome.err()
}

// followEvents shows what happens until the context ends; a node that is lost is asked again, for what
// happens from then on.
func (a *app) followEvents(ctx context.Context, tail int32) error {
	printer, err := a.printer(eventColumns)
	if err != nil {
		return err
	}

	fleet, err := a.open(a.Options)
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

	show := func(item output.Item) error {
		printing.Lock()
		defer printing.Unlock()

		if err := printer.Print(item); err != nil {
			writeErr = cmp.Or(writeErr, err)

			cancel()
		}

		return writeErr
	}

	for _, node := range fleet.Nodes() {
		from := tail

		group.Go(func() {
			again(ctx, a, node, func() error {
				err := node.Events(ctx, &guardv1alpha1.EventsRequest{Tail: from}, func(e *guardv1alpha1.EventsResponse) error {
					from = 0

					return show(eventItem(node.Name, e))
				})
				if err == nil {
					err = errors.New("the stream of events ended; it is opened again")
				}

				return err
			})
		})
	}

	group.Wait()

	if errors.Is(writeErr, io.ErrClosedPipe) {
		return nil
	}

	return writeErr
}

func eventItem(node string, e *guardv1alpha1.EventsResponse) output.Item {
	action := e.GetAction()

	row := output.Row{Cells: []string{
		clock(e.GetAt()), e.GetKind(), e.GetTarget(), e.GetName(), e.GetState(), e.GetBefore(), e.GetMessage(), "", "", action.GetEvidence(),
	}}

	if action != nil {
		row.Cells[4] = action.GetMode()

		if action.GetError() != "" {
			row.Severity = output.Bad
			row.Cells[6] = strings.Join([]string{action.GetReason(), "error: " + action.GetError()}, "; ")
		}

		if action.GetBefore() != "" || action.GetAfter() != "" {
			row.Cells[7] = fmt.Sprintf("%s -> %s", action.GetBefore(), action.GetAfter())
		}

		if action.GetBy() != nil {
			row.Cells[8] = action.GetBy().GetSubject()
		}
	}

	return output.Item{Node: node, Value: e, Rows: []output.Row{row}}
}
