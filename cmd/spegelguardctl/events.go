// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

var eventColumns = output.Titles("AT", "KIND", "TARGET", "NAME", "CHANGE", "MESSAGE", "+BY", "+EVIDENCE")

func (a *app) eventsCommand() *cobra.Command {
	var (
		follow bool
		tail   int
	)

	cmd := &cobra.Command{
		Use:   "events",
		Short: "Show the last actions, and with --follow every change from now on",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if tail < -1 || tail > resources.MaxGuardActions {
				return fmt.Errorf("invalid --tail %q: must be -1 for all actions, or 0..%d", strconv.Itoa(tail), resources.MaxGuardActions)
			}

			if follow {
				return a.followEvents(cmd.Context(), tail)
			}

			return a.pastEvents(cmd.Context(), tail)
		},
	}

	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "continue and print each event")
	cmd.Flags().IntVar(&tail, "tail", -1, "number of past actions to show; -1 shows all that are kept (50)")

	return cmd
}

// pastEvents prints the last actions of all nodes in the order of time.
func (a *app) pastEvents(ctx context.Context, tail int) error {
	return query[[]client.Event]{
		columns:  eventColumns,
		question: func(n *client.Node, ctx context.Context) ([]client.Event, error) { return n.PastEvents(ctx, tail) },
		items: func(node string, events []client.Event) []output.Item {
			items := make([]output.Item, len(events))

			for i, event := range events {
				items[i] = eventItem(node, event)
			}

			return items
		},
		arrange: byTime,
	}.ask(ctx, a)
}

// byTime sorts events by their time, not by its text: local time is set back once a year, and seconds have several events.
func byTime(events []output.Item) {
	at := func(item output.Item) time.Time {
		event, _ := item.Value.(client.Event)

		return event.At
	}

	slices.SortStableFunc(events, func(a, b output.Item) int { return at(a).Compare(at(b)) })
}

// followEvents prints events until the context ends. A node whose connection failed is watched again, without its
// past.
func (a *app) followEvents(ctx context.Context, tail int) error {
	var shown sync.Map

	return a.follow(ctx, eventColumns, func(ctx context.Context, node *client.Node, show func(...output.Item) error) error {
		tail := tail
		if _, again := shown.Load(node); again {
			tail = 0
		}

		return node.Events(ctx, tail, func(e client.Event) error {
			shown.Store(node, true)

			return show(eventItem(node.Name, e))
		})
	})
}

func eventItem(node string, e client.Event) output.Item {
	row := output.Row{}
	message, by, evidence := e.Message, "", ""

	if action := e.Action; action != nil {
		by, evidence = action.By.Subject, action.Evidence

		if action.Error != "" {
			row.Severity = output.Bad
			message = strings.Join([]string{action.Reason, "error: " + action.Error}, "; ")
		}
	}

	row.Cells = []string{clock(e.At), e.Kind, e.Target, e.Name, changeOf(e), message, by, evidence}

	return output.Item{Node: node, Value: e, Rows: []output.Row{row}}
}

// changeOf returns what changed: the state from what to what, and cpu.max for an action. The action's name says whether it was written.
func changeOf(e client.Event) string {
	switch {
	case e.Action != nil && e.Action.Change() != "":
		return "cpu.max: " + e.Action.Change()
	case e.Before != "":
		return e.Before + " -> " + e.State
	default:
		return e.State
	}
}
