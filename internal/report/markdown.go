// SPDX-License-Identifier: MPL-2.0

package report

import (
	"fmt"
	"io"
	"strings"
)

// Markdown writes a report for a wiki or a ticket.
func Markdown(w io.Writer, i Incident) error {
	var b strings.Builder

	fmt.Fprintf(&b, "# %s\n\n%s %s\n", i.Title(), sentence(i.Culprit), i.Ceilings())

	for _, missing := range i.Missing {
		fmt.Fprintf(&b, "\n**%s is left out: %s**\n", escaped(missing.Node), escaped(missing.Why))
	}

	b.WriteString("\n## Before and after\n\n")
	tableRow(&b, columns())
	tableRow(&b, strings.Fields(strings.Repeat("--- ", len(columns()))))

	for _, row := range i.Rows {
		for _, cells := range row.cells() {
			tableRow(&b, cells)
		}
	}

	fmt.Fprintf(&b, "\n%s\n\n## Timeline\n\n", footnote)

	if len(i.Timeline) == 0 {
		b.WriteString("No guard did anything.\n")
	} else {
		tableRow(&b, []string{"UTC", "node", "action", "cpu.max", "reason"})
		tableRow(&b, strings.Fields(strings.Repeat("--- ", 5)))
	}

	for _, e := range i.Timeline {
		tableRow(&b, []string{i.Clock(e.At), e.Node, e.What, e.Change, e.Why})
	}

	list(&b, "Outcome", i.Verdicts, func(e Entry) string { return e.Node + ", " + e.What + ": " + e.Why })
	list(&b, "What to do", i.Advice, func(e Entry) string { return e.Node + ": " + e.Why })
	list(&b, "Evidence", i.evidence(), func(e Entry) string { return e.Node + ": " + e.Folder })

	_, err := io.WriteString(w, b.String())

	return err
}

func list(b *strings.Builder, title string, entries []Entry, text func(Entry) string) {
	if len(entries) == 0 {
		return
	}

	fmt.Fprintf(b, "\n## %s\n\n", title)

	for _, e := range entries {
		fmt.Fprintf(b, "- %s\n", escaped(text(e)))
	}
}

func tableRow(b *strings.Builder, cells []string) {
	for _, cell := range cells {
		fmt.Fprintf(b, "| %s ", escaped(cell))
	}

	b.WriteString("|\n")
}

// escaped keeps the text of a node in its cell, and makes no link or picture of it.
func escaped(text string) string {
	if text == "" {
		return none
	}

	return strings.NewReplacer(`\`, `\\`, "|", `\|`, "[", `\[`, "\n", " ", "<", "&lt;", "`", "'").Replace(text)
}

// sentence ends a text with a full stop.
func sentence(text string) string { return strings.TrimSuffix(text, ".") + "." }

// evidence are the entries with a folder.
func (i Incident) evidence() []Entry {
	var entries []Entry

	for _, e := range i.Timeline {
		if e.Folder != "" {
			entries = append(entries, e)
		}
	}

	return entries
}
