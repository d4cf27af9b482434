// SPDX-License-Identifier: MPL-2.0

// Package top is a live view of a fleet on a terminal.
package top

import (
	"cmp"
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

	nodes    []*node
	selected int
	signal   int
	byUse    bool
	width    int
	height   int
	now      time.Time
}

// node is one node of the view.
type node struct {
	client *client.Node
	name   string
	place  int
	status *client.Status
	err    error
	seeded bool
	points []point
}

// point is one point of the history of the target that is shown.
type point struct {
	at     time.Time
	values [len(signals)]float64
	known  [len(signals)]bool
}

// New returns the view of a fleet. Each node is read once per interval, many nodes less often, until the context ends.
func New(ctx context.Context, fleet *client.Fleet, interval, timeout time.Duration, now time.Time) Model {
	m := Model{ctx: ctx, timeout: timeout, width: 80, height: 24, now: now}

	for i, n := range fleet.Nodes() {
		m.nodes = append(m.nodes, &node{client: n, name: n.Name, place: i})
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
		return m.key(msg)
	case askMsg:
		return m, m.ask(msg.node)
	case historyMsg:
		msg.node.seed(msg.history)
	case statusMsg:
		m.now = msg.at
		msg.node.take(msg)
		m.sort()

		again := tea.Tick(m.interval, func(time.Time) tea.Msg { return askMsg{msg.node} })

		if msg.err == nil && !msg.node.seeded {
			msg.node.seeded = true

			return m, tea.Batch(again, m.past(msg.node))
		}

		return m, again
	}

	return m, nil
}

func (m Model) key(msg tea.KeyMsg) (tea.Model, tea.Cmd) {
	switch msg.String() {
	case "q", "esc", "ctrl+c":
		return m, tea.Quit
	case "down", "j":
		m.selected = min(m.selected+1, len(m.nodes)-1)
	case "up", "k":
		m.selected = max(m.selected-1, 0)
	case "home", "g":
		m.selected = 0
	case "end", "G":
		m.selected = len(m.nodes) - 1
	case "tab", "right", "l":
		m.signal = (m.signal + 1) % len(signals)
	case "left", "h":
		m.signal = (m.signal + len(signals) - 1) % len(signals)
	case "s":
		m.byUse = !m.byUse
		m.sort()
	}

	return m, nil
}

// sort sorts the nodes and keeps the same one selected.
func (m *Model) sort() {
	chosen := m.nodes[m.selected]

	// The slice belongs to the previous model, too.
	m.nodes = slices.Clone(m.nodes)

	slices.SortStableFunc(m.nodes, func(a, b *node) int {
		if m.byUse {
			return cmp.Or(-cmp.Compare(a.newest(m.signal), b.newest(m.signal)), cmp.Compare(a.place, b.place))
		}

		return cmp.Compare(a.place, b.place)
	})

	m.selected = slices.Index(m.nodes, chosen)
}

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
