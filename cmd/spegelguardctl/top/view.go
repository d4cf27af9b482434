// SPDX-License-Identifier: MPL-2.0

package top

import (
	"fmt"
	"strings"

	"github.com/NimbleMarkets/ntcharts/sparkline"
	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	"github.com/spegel-guard/spegel-guard/internal/compare"
	"github.com/spegel-guard/spegel-guard/internal/duration"
	"github.com/spegel-guard/spegel-guard/internal/printable"
	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// The terminal's own colours.
var (
	bold      = lipgloss.NewStyle().Bold(true)
	faint     = lipgloss.NewStyle().Faint(true)
	chosen    = lipgloss.NewStyle().Reverse(true)
	good      = lipgloss.NewStyle().Foreground(lipgloss.Color("2"))
	warning   = lipgloss.NewStyle().Foreground(lipgloss.Color("3"))
	bad       = lipgloss.NewStyle().Foreground(lipgloss.Color("1"))
	usageLine = lipgloss.NewStyle().Foreground(lipgloss.Color("6"))
)

const (
	// fixed lines: title, header of the nodes, caption of the chart, reasons, and keys.
	fixed = 5
	// minChart is the least height of a chart.
	minChart = 4
	// sparkWidth of a node's history in its row.
	sparkWidth = 12
	help       = "↑↓ node  tab signal  s sort  q quit"
)

// View implements tea.Model.
func (m Model) View() string {
	if len(m.nodes) == 0 || m.height < fixed || m.width < 20 {
		return "the terminal is too small\n"
	}

	rows := min(len(m.nodes), max(1, (m.height-fixed)/2))
	chart := m.height - fixed - rows

	if chart < minChart {
		rows, chart = min(len(m.nodes), m.height-fixed), 0
	}

	lines := []string{m.title(), bold.Render(m.cut(header()))}

	// The rows around the selected one.
	first := max(0, min(m.selected-rows/2, len(m.nodes)-rows))

	for i := first; i < first+rows; i++ {
		lines = append(lines, m.row(m.nodes[i], i == m.selected))
	}

	n := m.nodes[m.selected]
	lines = append(lines, m.cut(m.caption(n)))

	if chart > 0 {
		lines = append(lines, strings.Split(m.chart(n, m.width, chart), "\n")...)
	}

	lines = append(lines, m.cut(why(n)))

	// The keys stay at the bottom.
	for len(lines) < m.height-1 {
		lines = append(lines, "")
	}

	return strings.Join(append(lines[:m.height-1], faint.Render(m.cut(help))), "\n")
}

// cut cuts a line to the width of the terminal.
func (m Model) cut(line string) string { return ansi.Truncate(line, m.width, "…") }

func (m Model) title() string {
	counts := map[string]int{}

	for _, n := range m.nodes {
		switch n.state() {
		case resources.StateThrottled, resources.StateReleasing, resources.StateProbing:
			counts["throttled"]++
		case "unreachable":
			counts["unreachable"]++
		case resources.StateOK:
			counts["ok"]++
		}
	}

	return bold.Render(m.cut(fmt.Sprintf("spegel-guard  %d nodes: %d ok, %d throttled, %d unreachable  %s",
		len(m.nodes), counts["ok"], counts["throttled"], counts["unreachable"], m.now.Format("15:04:05"))))
}

func columns(cells ...string) string {
	return fmt.Sprintf(" %-15s %-12s %7s %10s %7s %-*s %12s  %s", cells[0], cells[1], cells[2], cells[3], cells[4], sparkWidth, cells[5], cells[6], cells[7])
}

func header() string {
	return columns("NODE", "STATE", "CPU", "TX", "CEILING", "PAST", "ALLOC", "RULE")
}

func (m Model) row(n *node, selected bool) string {
	name := ansi.Truncate(printable.Line(n.name), 15, "…")
	target := n.target()
	cells := []string{name, printable.Line(n.state()), "-", "-", "-", "", "-", ""}

	if target.ID != "" {
		cells[2], cells[3], cells[6] = value(0, target), value(1, target), value(2, target)
		cells[5] = m.spark(n)

		if target.Ceiling != nil {
			cells[7] = printable.Line(target.Ceiling.Rule)
		}

		if ceiling := n.ceiling(); ceiling > 0 {
			cells[4] = config.SignalCPU.Format(ceiling)
		}
	}

	line := m.cut(columns(cells...))

	if selected {
		return chosen.Render(line + strings.Repeat(" ", max(0, m.width-lipgloss.Width(line))))
	}

	return styleOf(n.state()).Render(line)
}

func styleOf(state string) lipgloss.Style {
	if state == "asking" {
		return faint
	}

	return []lipgloss.Style{output.Good: good, output.Warning: warning, output.Bad: bad}[output.SeverityOf(state)]
}

func value(signal int, target client.TargetStatus) string {
	r := signals[signal].now(target)
	if !r.Known() {
		return "-"
	}

	return formatted(signal, r.Value)
}

func formatted(signal int, v float64) string {
	if signals[signal].signal == config.SignalAllocation {
		return compare.Alloc.Format(v)
	}

	return signals[signal].signal.Format(v)
}

// spark returns a node's history as plain text, because its row has a colour of its own.
func (m Model) spark(n *node) string {
	latest := n.points[max(0, len(n.points)-sparkWidth):]

	// The full height is the threshold, or a higher value.
	full := max(n.threshold(m.signal), 1e-9)

	for _, p := range latest {
		full = max(full, p.values[m.signal])
	}

	line := sparkline.New(sparkWidth, 1, sparkline.WithNoAutoMaxValue(), sparkline.WithMaxValue(full))

	for _, p := range latest {
		line.Push(p.values[m.signal])
	}

	line.Draw()

	return ansi.Strip(line.View())
}

// caption returns the title of the chart.
func (m Model) caption(n *node) string {
	s := signals[m.signal]
	text := fmt.Sprintf("%s of %s", s.title, n.name)

	if v := n.newest(m.signal); v >= 0 {
		text += " " + formatted(m.signal, v)
	}

	text = bold.Render(text)

	if t := n.threshold(m.signal); t > 0 {
		text += warning.Render("  ┄ threshold " + formatted(m.signal, t))
	}

	if c := n.ceiling(); c > 0 && s.signal == config.SignalCPU {
		text += bad.Render("  ━ ceiling " + config.SignalCPU.Format(c))
	}

	return text
}

// why returns what a node waits for, or its error.
func why(n *node) string {
	if n.err != nil {
		return bad.Render(printable.Line(n.err.Error()))
	}

	var parts []string

	for _, rule := range n.target().Rules {
		if rule.State == "ok" {
			continue
		}

		part := rule.Name + " " + rule.State

		if rule.TripsIn > 0 {
			part += " (trips in " + duration.Format(rule.TripsIn) + ")"
		}

		parts = append(parts, part)
	}

	if n.status != nil {
		parts = append(parts, n.status.Message)
	}

	return printable.Line(strings.Join(parts, " "))
}
