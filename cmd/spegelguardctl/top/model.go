// SPDX-License-Identifier: MPL-2.0

// Package top is a live view of a fleet on a terminal.
package top

import (
	"context"
	"slices"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/spegel-guard/spegel-guard/pkg/client"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

// keep is the period that is shown.
const keep = 15 * time.Minute

// Model is the state of the view.
type Model struct {
	ctx      context.Context //nolint:containedctx // for the life of the view
	interval time.Duration
	timeout  time.Duration

	// nodes in their order, of which the filter hides some.
	nodes []*node
	// selected is nil until a key is pressed: then the first row is shown, whichever node that is.
	selected *node
	signal   int
	order    order
	filter   string
	// filtering while the filter is typed.
	filtering bool
	help      bool
	width     int
	height    int
	now       time.Time
}

// New returns the view of a fleet, sorted by a column. Each node is read once per interval, many nodes less often, until the
// context ends.
func New(ctx context.Context, fleet *client.Fleet, by Column, interval, timeout time.Duration, now time.Time) Model {
	m := Model{ctx: ctx, timeout: timeout, order: order{by: by}, width: 80, height: 24, now: now}

	for i, n := range fleet.Nodes() {
		m.nodes = append(m.nodes, newNode(n, n.Name, i))
	}

	// Reading a thousand nodes every second would be a load of its own.
	m.interval = max(interval, time.Duration(len(m.nodes))*perNode)

	return m
}

// perNode is the least time between two requests.
const perNode = 10 * time.Millisecond

type (
	statusMsg struct {
		node   *node
		at     time.Time
		status *client.Status
		err    error
	}
	historyMsg struct {
		node    *node
		history *guardv1alpha1.History
	}
	askMsg struct{ node *node }
)

// Init implements tea.Model.
func (m Model) Init() tea.Cmd {
	var cmds []tea.Cmd

	for _, n := range m.nodes {
		cmds = append(cmds, m.ask(n))
	}

	return tea.Batch(cmds...)
}

// Update implements tea.Model.
func (m Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tea.KeyMsg:
		return m.keys(msg)
	case askMsg:
		return m, m.ask(msg.node)
	case historyMsg:
		msg.node.seed(msg.history)
	case statusMsg:
		m.now = msg.at
		msg.node.take(msg)
		m.sort()

		again := tea.Tick(m.interval, func(time.Time) tea.Msg { return askMsg{msg.node} })

		if msg.err == nil && msg.node.unseeded() {
			return m, tea.Batch(again, m.past(msg.node))
		}

		return m, again
	}

	return m, nil
}

// sort sorts the nodes.
func (m *Model) sort() {
	// The slice belongs to the previous model, too.
	m.nodes = slices.Clone(m.nodes)

	slices.SortStableFunc(m.nodes, m.order.compare)
}

// shown returns the nodes that the filter lets through.
func (m Model) shown() []*node {
	if m.filter == "" {
		return m.nodes
	}

	var found []*node

	for _, n := range m.nodes {
		if n.has(m.filter) {
			found = append(found, n)
		}
	}

	return found
}

// position returns the place of the selected node among those that are shown; the first when it is not among them.
func (m Model) position(shown []*node) int { return max(0, slices.Index(shown, m.selected)) }

// selectAt selects one of the nodes that are shown.
func (m *Model) selectAt(place int) {
	if shown := m.shown(); len(shown) > 0 {
		m.selected = shown[max(0, min(place, len(shown)-1))]
	}
}

// move moves the selection.
func (m *Model) move(by int) { m.selectAt(m.position(m.shown()) + by) }

// ask reads a node's status.
func (m Model) ask(n *node) tea.Cmd {
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(m.ctx, m.timeout)
		defer cancel()

		status, err := n.client.Status(ctx)
		if err != nil {
			err = n.client.Failure(err)
		}

		return statusMsg{node: n, at: time.Now(), status: status, err: err}
	}
}

// past reads a node's history.
func (m Model) past(n *node) tea.Cmd {
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(m.ctx, m.timeout)
		defer cancel()

		history, err := n.client.History(ctx, "", keep)
		if err != nil {
			return nil // the view starts without a history
		}

		return historyMsg{node: n, history: history}
	}
}
