// SPDX-License-Identifier: MPL-2.0

package output

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/lipgloss"
	"github.com/muesli/termenv"

	"github.com/spegel-guard/spegel-guard/internal/printable"
)

// gap between two columns, as talosctl has it.
const gap = 3

// maxCell bounds the text of a cell in bytes: the cells of all other rows are padded to it.
const maxCell = printable.MaxText

// table is printed in batches: columns never become narrower, so that late rows are aligned.
type table struct {
	out     *termenv.Output
	columns []Column
	nodes   bool
	shown   []int
	widths  []int
	started bool
}

func newTable(out *termenv.Output, columns []Column, nodes, wide bool) *table {
	if nodes {
		columns = append([]Column{{Title: "NODE"}}, columns...)
	}

	t := &table{out: out, columns: columns, nodes: nodes}

	for i, column := range columns {
		if wide || !column.Wide {
			t.shown = append(t.shown, i)
		}
	}

	t.widths = make([]int, len(t.shown))

	return t
}

// Print implements Printer.
func (t *table) Print(items ...Item) error {
	if len(items) == 0 {
		return nil
	}

	var rows []Row

	if !t.started {
		t.started = true
		rows = append(rows, t.header())
	}

	for _, item := range items {
		for _, row := range item.Rows {
			cells := row.Cells
			if t.nodes {
				cells = append([]string{item.Node}, cells...)
			}

			rows = append(rows, t.visible(cells, row.Severity))
		}
	}

	for _, row := range rows {
		for i, cell := range row.Cells {
			t.widths[i] = max(t.widths[i], lipgloss.Width(cell))
		}
	}

	for _, row := range rows {
		if _, err := fmt.Fprintln(t.out, t.line(row)); err != nil {
			return fmt.Errorf("failed to write the table: %w", err)
		}
	}

	return nil
}

func (t *table) header() Row {
	titles := make([]string, len(t.columns))

	for i, column := range t.columns {
		titles[i] = column.Title
	}

	return t.visible(titles, Plain)
}

func (t *table) visible(cells []string, severity Severity) Row {
	row := Row{Severity: severity}

	for _, i := range t.shown {
		cell := "-"
		if i < len(cells) && cells[i] != "" {
			cell = printable.Line(printable.Clip(cells[i], maxCell))
		}

		row.Cells = append(row.Cells, cell)
	}

	return row
}

func (t *table) line(row Row) string {
	var b strings.Builder

	for i, cell := range row.Cells {
		b.WriteString(cell)

		if i < len(row.Cells)-1 {
			b.WriteString(strings.Repeat(" ", t.widths[i]-lipgloss.Width(cell)+gap))
		}
	}

	line := b.String()

	if colour := colours[min(int(row.Severity), len(colours)-1)]; colour != "" {
		return t.out.String(line).Foreground(t.out.Color(colour)).String()
	}

	return line
}

// colours of severities: green, yellow and red of the terminal's own.
var colours = []string{Plain: "", Good: "2", Warning: "3", Bad: "1"}

// Titles returns columns; a title with a plus in front is a wide column.
func Titles(titles ...string) []Column {
	columns := make([]Column, len(titles))

	for i, title := range titles {
		name, wide := strings.CutPrefix(title, "+")
		columns[i] = Column{Title: name, Wide: wide}
	}

	return columns
}
