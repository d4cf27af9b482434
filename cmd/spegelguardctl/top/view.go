// SPDX-License-Identifier: MPL-2.0

package top

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	"github.com/spegel-guard/spegel-guard/internal/duration"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// The terminal's own colours.
var (
	bold      = lipgloss.NewStyle().Bold(true)
	faint     = lipgloss.NewStyle().Faint(true)
	good      = lipgloss.NewStyle().Foreground(lipgloss.Color("2"))
	warning   = lipgloss.NewStyle().Foreground(lipgloss.Color("3"))
	bad       = lipgloss.NewStyle().Foreground(lipgloss.Color("1"))
	usageLine = lipgloss.NewStyle().Foreground(lipgloss.Color("6"))
)

const (
	// minWidth and minHeight of a terminal.
	minWidth  = 20
	minHeight = 5
	// minChart is the least height of a chart.
	minChart = 4
	// fixed lines: title, header and footer.
	fixed = 3
	// maxCaption and maxWhy are the most lines of the caption and of the reasons.
	maxCaption = 2
	maxWhy     = 2
)

// View implements tea.Model.
func (m Model) View() string {
	switch {
	case m.height < minHeight || m.width < minWidth || len(m.nodes) == 0:
		return m.cut("the terminal is too small")
	case m.help:
		return m.page(helpLines(), "")
	}

	nodes, layout := m.shown(), m.layout()
	position := m.position(nodes)
	columns := m.columns()
	lines := []string{m.title(), bold.Render(m.cut(" " + line(columns, func(c column) string { return c.title })))}

	// The rows around the selected one.
	first := max(0, min(position-layout.rows/2, len(nodes)-layout.rows))

	for i := first; i < first+layout.rows; i++ {
		lines = append(lines, m.row(columns, nodes[i], i == position))
	}

	if len(nodes) == 0 {
		lines = append(lines, m.cut("  no node has "+fmt.Sprintf("%q", m.filter)+" in its name or state"))
	} else {
		lines = append(lines, layout.caption...)

		if layout.chart > 0 {
			lines = append(lines, m.chart(nodes[position], m.width, layout.chart)...)
		}

		lines = append(lines, layout.why...)
	}

	return m.page(lines, m.footer(position, len(nodes)))
}

// page fills the terminal, with the last line at the bottom.
func (m Model) page(lines []string, last string) string {
	for i := range lines {
		lines[i] = m.cut(lines[i])
	}

	for len(lines) < m.height-1 {
		lines = append(lines, "")
	}

	return strings.Join(append(lines[:m.height-1], last), "\n")
}

// layout of a screen.
type layout struct {
	// rows of nodes and lines of the chart; a terminal without room has no chart.
	rows, chart  int
	caption, why []string
}

func (m Model) layout() layout {
	nodes := m.shown()
	if len(nodes) == 0 {
		return layout{}
	}

	n := nodes[m.position(nodes)]
	l := layout{caption: m.caption(n), why: wrapped(n.why(), m.width, maxWhy)}

	if n.err != nil {
		for i := range l.why {
			l.why[i] = bad.Render(l.why[i])
		}
	}

	room := m.height - fixed - len(l.caption) - len(l.why)
	l.rows = min(len(nodes), max(1, room/2))

	if l.chart = room - l.rows; l.chart < minChart {
		l.rows, l.chart = min(len(nodes), max(1, room)), 0
	}

	return l
}

// cut cuts a line to the width of the terminal.
func (m Model) cut(line string) string { return ansi.Truncate(line, m.width, "…") }

func (m Model) title() string {
	text := fmt.Sprintf("%s  %d nodes: %s", m.now.Format(time.TimeOnly), len(m.nodes), counts(m.nodes))
	if named := "spegel-guard  " + text; ansi.StringWidth(named) <= m.width {
		text = named
	}

	return bold.Render(m.cut(text))
}

func (m Model) row(columns []column, n *node, selected bool) string {
	text := line(columns, func(c column) string { return c.cell(n) })

	if selected {
		text = m.cut(">" + text)

		return styleOf(n.state()).Reverse(true).Render(text + strings.Repeat(" ", m.width-ansi.StringWidth(text)))
	}

	return styleOf(n.state()).Render(m.cut(" " + text))
}

func styleOf(state string) lipgloss.Style {
	if state == stateAsking {
		return faint
	}

	return []lipgloss.Style{output.Good: good, output.Warning: warning, output.Bad: bad}[output.SeverityOf(state)]
}

// caption returns the title of the chart: the signal's newest value with its age when it is old, the ceiling and the
// threshold.
func (m Model) caption(n *node) []string {
	s := signals[m.signal]
	text := fmt.Sprintf("%s of %s", s.title, n.name)

	if v := n.newest(m.signal); !math.IsNaN(v) {
		text += " " + formatted(m.signal, v)

		points := n.points()
		if age := m.now.Sub(points[len(points)-1].at); age > m.gap() {
			text += " " + duration.Format(age) + " ago"
		}
	} else if why := n.missing(m.signal); why != "" {
		text += " (" + why + ")"
	}

	parts := []string{bold.Render(text)}

	if c := n.ceiling(); c > 0 && s.signal == policy.SignalCPU {
		parts = append(parts, bad.Render(string(ceilingRune)+" ceiling "+policy.SignalCPU.Format(c)))
	}

	if t := n.threshold(m.signal); t > 0 {
		parts = append(parts, warning.Render(string(thresholdRune)+" threshold "+formatted(m.signal, t)))
	}

	return flowed(parts, m.width, maxCaption)
}

// flowed joins parts to lines of at most a width, and drops what has no room in the last one.
func flowed(parts []string, width, lines int) []string {
	flow := []string{ansi.Truncate(parts[0], width, "…")}

	for _, part := range parts[1:] {
		last := len(flow) - 1

		switch joined := flow[last] + "  " + part; {
		case ansi.StringWidth(joined) <= width:
			flow[last] = joined
		case len(flow) < lines:
			flow = append(flow, ansi.Truncate(part, width, "…"))
		default:
			flow[last] = ansi.Truncate(joined, width, "…")
		}
	}

	return flow
}

// wrapped breaks a text into at most some lines, of which the last is cut.
func wrapped(text string, width, lines int) []string {
	if text == "" {
		return nil
	}

	broken := strings.Split(ansi.Wrap(text, width, ""), "\n")
	if len(broken) > lines {
		rest := strings.Join(broken[lines-1:], " ")
		broken = append(broken[:lines-1], ansi.Truncate(rest, width, "…"))
	}

	return broken
}

// footer shows the position, the order and the filter, and the keys that there is room for.
func (m Model) footer(position, shown int) string {
	if m.filtering {
		return m.cut("/" + m.filter + "█  enter: keep  esc: remove")
	}

	state := fmt.Sprintf("%d/%d  sort %s %s", min(position+1, shown), shown, m.order.by, m.order.arrow())

	if m.filter != "" {
		state += "  /" + m.filter
	}

	for _, keys := range []string{"↑↓ node  tab signal  s sort  / filter  ? help  q quit", "tab signal  ? help  q quit", "? help  q quit"} {
		if line := state + "   " + keys; ansi.StringWidth(line) <= m.width {
			return state + faint.Render("   "+keys)
		}
	}

	return m.cut(state)
}
