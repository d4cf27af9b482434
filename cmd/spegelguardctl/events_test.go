// SPDX-License-Identifier: MPL-2.0

package main

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// TestEventItem_ShowsChange: a row of every kind says in one column what changed, from what to what.
func TestEventItem_ShowsChange(t *testing.T) {
	action := func(spec resources.GuardActionSpec) client.Event {
		return client.Event{Kind: client.EventAction, Name: spec.Action, Action: &client.Action{GuardActionSpec: spec}}
	}

	for _, test := range []struct {
		name  string
		event client.Event
		want  string
	}{
		{"ceiling applied", action(resources.GuardActionSpec{Action: "apply", Mode: "enforce", Before: "max 100000", After: "50000 100000"}), "cpu.max: max -> 500m"},
		{"ceiling released", action(resources.GuardActionSpec{Action: "release", Mode: "enforce", Before: "50000 100000", After: "max 100000"}), "cpu.max: 500m -> max"},
		{"nothing written", action(resources.GuardActionSpec{Action: "pause", Mode: "enforce"}), ""},
		{"state", client.Event{Kind: client.EventState, State: "throttled", Before: "firing"}, "firing -> throttled"},
		{"rule", client.Event{Kind: client.EventRule, Name: "SpegelHighCPU", State: "releasing", Before: "firing"}, "firing -> releasing"},
		{"new rule", client.Event{Kind: client.EventRule, Name: "SpegelHighCPU", State: "ok"}, "ok"},
		{"condition", client.Event{Kind: client.EventCondition, Name: "discovery", State: "CRI", Before: "OK"}, "OK -> CRI"},
		{"override ended", client.Event{Kind: client.EventOverride, Name: "pause", State: "ended", Before: "in force"}, "in force -> ended"},
		{"verdict", client.Event{Kind: client.EventVerdict, State: "contained"}, "contained"},
	} {
		t.Run(test.name, func(t *testing.T) {
			column := slices.IndexFunc(eventColumns, func(c output.Column) bool { return c.Title == "CHANGE" })
			row := eventItem("a", test.event).Rows[0]

			assert.Equal(t, test.want, row.Cells[column])
			assert.Len(t, row.Cells, len(eventColumns))
		})
	}
}

// TestByTime_SortsWithinASecond: the order of cause and effect over nodes.
func TestByTime_SortsWithinASecond(t *testing.T) {
	second := time.Date(2026, 1, 5, 3, 4, 5, 0, time.UTC)

	var items []output.Item

	for _, event := range []struct {
		node string
		at   time.Time
	}{
		{"a", second.Add(900 * time.Millisecond)}, {"b", second.Add(100 * time.Millisecond)}, {"c", time.Time{}}, {"d", second.Add(time.Second)},
	} {
		items = append(items, eventItem(event.node, client.Event{Kind: client.EventState, At: event.at}))
	}

	byTime(items)

	var nodes string

	for _, item := range items {
		nodes += item.Node
	}

	assert.Equal(t, "cbad", nodes)
}
