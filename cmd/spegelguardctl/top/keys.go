// SPDX-License-Identifier: MPL-2.0

package top

import (
	"fmt"
	"unicode/utf8"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"github.com/spegel-guard/spegel-guard/internal/printable"
)

// action is what keys do, with its line in the help.
type action struct {
	key.Binding

	do func(*Model)
}

func bind(shown, help string, do func(*Model), keys ...string) action {
	return action{key.NewBinding(key.WithKeys(keys...), key.WithHelp(shown, help)), do}
}

// actions in the order of the help.
var actions = []action{
	bind("↑ k", "previous node", func(m *Model) { m.move(-1) }, "up", "k"),
	bind("↓ j", "next node", func(m *Model) { m.move(1) }, "down", "j"),
	bind("PgUp", "a page up", func(m *Model) { m.move(-m.layout().rows) }, "pgup", "ctrl+b"),
	bind("PgDn", "a page down", func(m *Model) { m.move(m.layout().rows) }, "pgdown", "ctrl+f", " "),
	bind("Home g", "first node", func(m *Model) { m.selectAt(0) }, "home", "g"),
	bind("End G", "last node", func(m *Model) { m.selectAt(len(m.nodes)) }, "end", "G"),
	bind("Tab → l", "next signal", func(m *Model) { m.turn(1) }, "tab", "right", "l"),
	bind("← h", "previous signal", func(m *Model) { m.turn(-1) }, "shift+tab", "left", "h"),
	bind("s", "sort by the next column", func(m *Model) { m.order = m.order.next(1) }, "s"),
	bind("S", "sort by the previous column", func(m *Model) { m.order = m.order.next(-1) }, "S"),
	bind("r", "reverse the order", func(m *Model) { m.order.reversed = !m.order.reversed }, "r"),
	bind("/", "filter by name or state", func(m *Model) { m.filtering = true }, "/"),
	bind("Esc", "remove the filter", func(m *Model) { m.filter = "" }, "esc"),
	bind("?", "this help", func(m *Model) { m.help = true }, "?"),
}

// quit has no action of its own.
var quit = key.NewBinding(key.WithKeys("q", "ctrl+c"), key.WithHelp("q", "quit"))

// keys handles a message of the keyboard: keys that are typed faster than they are read come in one.
func (m Model) keys(msg tea.KeyMsg) (tea.Model, tea.Cmd) {
	if msg.Type != tea.KeyRunes || msg.Paste {
		return m.key(msg)
	}

	for _, r := range msg.Runes {
		next, cmd := m.key(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune{r}, Alt: msg.Alt})
		if cmd != nil {
			return next, cmd
		}

		m = next
	}

	return m, nil
}

// key handles a key.
func (m Model) key(msg tea.KeyMsg) (Model, tea.Cmd) {
	switch {
	case msg.Type == tea.KeyCtrlC:
		return m, tea.Quit
	case m.filtering:
		m.typed(msg)

		return m, nil
	case m.help:
		m.help = false

		return m, nil
	case key.Matches(msg, quit):
		return m, tea.Quit
	}

	for _, action := range actions {
		if key.Matches(msg, action.Binding) {
			action.do(&m)
			m.sort()
		}
	}

	return m, nil
}

// turn shows another signal of the same node.
func (m *Model) turn(by int) {
	m.move(0)
	m.signal = (m.signal + by + len(signals)) % len(signals)
}

// maxFilter is more than the length of a name.
const maxFilter = 256

// typed handles a key while the filter is typed.
func (m *Model) typed(msg tea.KeyMsg) {
	switch msg.Type {
	case tea.KeyEnter:
		m.filtering = false
	case tea.KeyEsc:
		m.filter, m.filtering = "", false
	case tea.KeyUp:
		m.move(-1)
	case tea.KeyDown:
		m.move(1)
	case tea.KeyCtrlU:
		m.filter = ""
	case tea.KeyBackspace:
		_, size := utf8.DecodeLastRuneInString(m.filter)
		m.filter = m.filter[:len(m.filter)-size]
	case tea.KeyRunes:
		if text := printable.Line(m.filter + string(msg.Runes)); len(text) <= maxFilter {
			m.filter = text
		}
	}
}

// helpLines returns a line for each key.
func helpLines() []string {
	lines := []string{"keys of top"}

	for _, action := range actions {
		lines = append(lines, fmt.Sprintf("  %-8s %s", action.Help().Key, action.Help().Desc))
	}

	return append(lines, fmt.Sprintf("  %-8s %s", quit.Help().Key, quit.Help().Desc), "any key closes this help")
}
