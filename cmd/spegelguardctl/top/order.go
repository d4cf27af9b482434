// SPDX-License-Identifier: MPL-2.0

package top

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/spegel-guard/spegel-guard/internal/printable"
	"github.com/spegel-guard/spegel-guard/internal/words"
	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// Column is a column that nodes can be sorted by.
type Column string

// Columns that are named elsewhere; signals have the others.
const (
	ColumnNode  Column = "node"
	ColumnState Column = "state"
	ColumnCPU   Column = "cpu"
)

// Columns returns the columns that nodes can be sorted by.
func Columns() []Column {
	columns := []Column{ColumnNode, ColumnState}

	for _, s := range signals {
		columns = append(columns, s.column)
	}

	return columns
}

// ColumnNames returns the names of the columns for people: "node, state or cpu".
func ColumnNames() string { return words.Or(Columns()) }

// String implements pflag.Value.
func (c *Column) String() string { return string(*c) }

// Type implements pflag.Value.
func (c *Column) Type() string { return "column" }

// Set implements pflag.Value.
func (c *Column) Set(text string) error {
	if !slices.Contains(Columns(), Column(text)) {
		return fmt.Errorf("must be %s", ColumnNames())
	}

	*c = Column(text)

	return nil
}

// Sort sorts responses by a column as the view does: names in ascending order, the most urgent state or the greatest value
// first, and nodes without the value last.
func Sort(results []client.Result[*client.Status], by Column) {
	nodes := map[*client.Node]*node{}

	for i, result := range results {
		n := newNode(result.Node, result.Node.Name, i)
		n.take(statusMsg{status: result.Value, err: result.Err})
		nodes[result.Node] = n
	}

	slices.SortStableFunc(results, func(a, b client.Result[*client.Status]) int {
		return order{by: by}.compare(nodes[a.Node], nodes[b.Node])
	})
}

// order of the nodes.
type order struct {
	by       Column
	reversed bool
}

// arrow shows the direction of a column that nodes are sorted by.
func (o order) arrow() string {
	if (o.by == ColumnNode) != o.reversed {
		return "▲"
	}

	return "▼"
}

// next returns the order by the next column, or the one before it.
func (o order) next(step int) order {
	columns := Columns()

	return order{by: columns[(slices.Index(columns, o.by)+step+len(columns))%len(columns)]}
}

// signal returns the signal that nodes are sorted by, or CPU.
func (o order) signal() int {
	for i, s := range signals {
		if s.column == o.by {
			return i
		}
	}

	return 0
}

func (o order) compare(a, b *node) int {
	direction := 1
	if o.reversed {
		direction = -1
	}

	switch o.by {
	case ColumnNode:
		return cmp.Or(direction*cmp.Compare(a.name, b.name), cmp.Compare(a.place, b.place))
	case ColumnState:
		return cmp.Or(direction*cmp.Compare(urgency(a.state()), urgency(b.state())), cmp.Compare(a.place, b.place))
	}

	va, vb := a.newest(o.signal()), b.newest(o.signal())

	switch {
	// Nodes without a value are last in both directions.
	case math.IsNaN(va) && math.IsNaN(vb):
		return cmp.Compare(a.place, b.place)
	case math.IsNaN(va):
		return 1
	case math.IsNaN(vb):
		return -1
	default:
		return cmp.Or(direction*cmp.Compare(vb, va), cmp.Compare(a.place, b.place))
	}
}

// States of the view itself, beside those of guards.
const (
	// stateAsking: no response yet.
	stateAsking = "asking"
	// stateUnreachable: the newest request got no response.
	stateUnreachable = "unreachable"
	// stateFailed: the newest request was refused.
	stateFailed = "failed"
)

// states from the most urgent on.
var states = []string{
	resources.StateThrottled, resources.StateProbing, resources.StateReleasing, resources.StateFiring, resources.StatePending,
	stateUnreachable, stateFailed, resources.StateUnavailable, resources.StateNoPermission, resources.StateNoControl, resources.StateNoTarget,
	resources.StateNoCRI, resources.StateNoCgroup2, resources.StatePaused, stateAsking, resources.StateOK,
}

// urgency returns the place of a state; a state that is not known comes last.
func urgency(state string) int {
	if i := slices.Index(states, state); i >= 0 {
		return i
	}

	return len(states)
}

// counts returns how many nodes are in each state, the most urgent first: "1 throttled, 3 ok".
func counts(nodes []*node) string {
	count := map[string]int{}

	for _, n := range nodes {
		count[n.state()]++
	}

	var parts []string

	for _, state := range slices.SortedFunc(maps.Keys(count), func(a, b string) int { return cmp.Or(cmp.Compare(urgency(a), urgency(b)), cmp.Compare(a, b)) }) {
		parts = append(parts, fmt.Sprintf("%d %s", count[state], printable.Line(state)))
	}

	return strings.Join(parts, ", ")
}
