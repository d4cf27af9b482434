// SPDX-License-Identifier: MPL-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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

// pastEvents are the last actions of all nodes in the order of time: what happened is one story.
func (a *app) pastEvents(ctx context.Context, tail int32) error {
	return query[[]*guardv1alpha1.EventsResponse]{
		columns: eventColumns,
		question: func(n *client.Node, ctx context.Context) (events []*guardv1alpha1.EventsResponse, err error) {
			err = n.Events(ctx, &guardv1alpha1.EventsRequest{Tail: tail, Once: true}, func(e *guardv1alpha1.EventsResponse) error {
				events = append(events, e)

				return nil
			})

			return events, err
		},
		items: func(node string, events []*guardv1alpha1.EventsResponse) []output.Item {
			items := make([]output.Item, len(events))

			for i, event := range events {
				items[i] = eventItem(node, event)
			}

			return items
		},
		arrange: func(items []output.Item) {
			slices.SortStableFunc(items, func(a, b output.Item) int { return cmp.Compare(a.Rows[0].Cells[0], b.Rows[0].Cells[0]) })
		},
	}.ask(ctx, a)
}

// followEvents shows what happens until the context ends; a node that is lost is asked again, for what
// happens from then on.
func (a *app) followEvents(ctx context.Context, tail int32) error {
	var asked sync.Map

	return a.follow(ctx, eventColumns, func(ctx context.Context, node *client.Node, show func(...output.Item) error) error {
		request := &guardv1alpha1.EventsRequest{Tail: tail}
		if _, again := asked.Load(node); again {
			request.Tail = 0
		}

		err := node.Events(ctx, request, func(e *guardv1alpha1.EventsResponse) error {
			asked.Store(node, true)

			return show(eventItem(node.Name, e))
		})
		if err == nil {
			err = errors.New("the stream of events ended; it is opened again")
		}

		return err
	})
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
