// SPDX-License-Identifier: MPL-2.0

package top

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"github.com/spegel-guard/spegel-guard/internal/printable"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// column of the table.
type column struct {
	title string
	width int
	right bool
	cell  func(*node) string
}

const (
	// pastWidth of a node's history in its row.
	pastWidth = 12
	// ruleWidth is the least width of the rule, which gets the rest of the line.
	ruleWidth = 14
	// wide is the width of a terminal from which states are never cut.
	wide = 60
)

// columns returns the columns that the terminal has room for: the node, then what is shown and sorted by, then the others
// by their use in an incident.
func (m Model) columns() []column {
	name := m.nameWidth()
	all := []column{
		{title: m.titleOf(ColumnNode, "NODE"), width: name, cell: func(n *node) string { return shortened(n.name, name) }},
		{title: m.titleOf(ColumnState, "STATE"), width: m.stateWidth(), cell: (*node).state},
		m.signalColumn(0),
		{title: "CEILING", width: 7, right: true, cell: ceilingCell},
	}

	for i := 1; i < len(signals); i++ {
		all = append(all, m.signalColumn(i))
	}

	past, rule := len(all), len(all)+1
	all = append(all,
		column{title: "PAST " + signals[m.signal].title, width: pastWidth, cell: m.sparkline},
		column{title: "RULE", width: ruleWidth, cell: func(n *node) string { return n.worst.LoudestRule() }},
	)

	// CPU, ceiling, TX and allocation come before the past and the rule; the other signals come after.
	byUse := []int{0, 1, signalAt(m.signal), signalAt(m.order.signal()), 2, 3, 4, 5, past, rule, 6, 7, 8}

	var chosen []int

	left := m.width - 1 // for the mark of the selected row

	for _, i := range byUse {
		if need := all[i].width + 1; !slices.Contains(chosen, i) && (i == 0 || need <= left) {
			chosen, left = append(chosen, i), left-need
		}
	}

	slices.Sort(chosen)

	columns := make([]column, len(chosen))
	for i, place := range chosen {
		columns[i] = all[place]
	}

	if chosen[len(chosen)-1] == rule {
		columns[len(columns)-1].width += left
	}

	return columns
}

// signalAt returns the place of a signal's column: after the node and the state, with the ceiling after CPU.
func signalAt(signal int) int {
	if signal == 0 {
		return 2
	}

	return signal + 3
}

// signalWidths in the order of the signals: as wide as their values and titles are.
var signalWidths = [len(signals)]int{6, 8, 10, 10, 8, 9}

func (m Model) signalColumn(i int) column {
	return column{title: m.titleOf(signals[i].column, signals[i].title), width: signalWidths[i], right: true, cell: func(n *node) string {
		if n.worst.ID == "" {
			return ""
		}

		if v := reading(i, n.worst); v.Known() && !math.IsNaN(Drawable(v.Value)) {
			return formatted(i, v.Value)
		}

		return ""
	}}
}

// titleOf returns a title, with the direction if nodes are sorted by the column.
func (m Model) titleOf(by Column, title string) string {
	if by == m.order.by {
		return title + m.order.arrow()
	}

	return title
}

func (m Model) nameWidth() int {
	longest := len("NODE▲")

	for _, n := range m.nodes {
		longest = max(longest, ansi.StringWidth(n.name))
	}

	return min(longest, max(12, m.width/4))
}

func (m Model) stateWidth() int {
	if m.width < wide {
		return 10
	}

	return 13
}

func ceilingCell(n *node) string {
	if ceiling := n.ceiling(); ceiling > 0 {
		return policy.SignalCPU.Format(ceiling)
	}

	return ""
}

// line returns the cells of a row as one line. A cell without a value is a dash.
func line(columns []column, cell func(column) string) string {
	var cells []string

	for _, c := range columns {
		text := ansi.Truncate(cmp.Or(printable.Line(printable.Clip(cell(c), maxText)), "-"), c.width, "…")
		blank := strings.Repeat(" ", c.width-ansi.StringWidth(text))

		if c.right {
			text = blank + text
		} else {
			text += blank
		}

		cells = append(cells, text)
	}

	return strings.Join(cells, " ")
}

// shortened cuts out the middle of a name: the names of a fleet differ at their ends, or in the host before the domain.
func shortened(name string, width int) string {
	over := ansi.StringWidth(name) - width
	if over <= 0 {
		return name
	}

	head := ansi.Truncate(name, width/2, "")
	rest := ansi.TruncateLeft(name, ansi.StringWidth(head), "")
	tail := ansi.TruncateLeft(rest, over+1, "")

	return head + "…" + tail
}

// bars of a history, from the lowest.
var bars = []rune("▁▂▃▄▅▆▇█")

// sparkline returns the greatest value in each part of the period that is shown, as plain text because its row has a colour of
// its own. The full height is the threshold, or a greater value. A dot is a part without a value.
func (m Model) sparkline(n *node) string {
	full := n.threshold(m.signal)
	values := slices.Repeat([]float64{-1}, pastWidth)

	for _, p := range n.points() {
		// A value now is in the last part.
		ago := m.now.Sub(p.at)
		if v := p.values[m.signal]; !math.IsNaN(v) && ago >= 0 && ago < keep {
			part := pastWidth - 1 - int(ago*pastWidth/keep)
			values[part] = max(values[part], v)
			full = max(full, v)
		}
	}

	var b strings.Builder

	for _, v := range values {
		switch {
		case v < 0:
			b.WriteRune('·')
		case full == 0:
			b.WriteRune(bars[0])
		default:
			b.WriteRune(bars[int(v/full*float64(len(bars)-1))])
		}
	}

	return b.String()
}
