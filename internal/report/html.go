// SPDX-License-Identifier: MPL-2.0

package report

import (
	_ "embed"
	"html/template"
	"io"
)

//go:embed report.html
var page string

var pageTemplate = template.Must(template.New("report").Parse(page))

// HTML writes a report as one page that needs nothing else: no script, no font and no network.
func HTML(w io.Writer, i Incident) error {
	var rows [][]string
	for _, row := range i.Rows {
		rows = append(rows, row.cells()...)
	}

	return pageTemplate.Execute(w, map[string]any{
		"Incident": i, "Culprit": sentence(i.Culprit), "Columns": columns(), "Rows": rows, "Charts": i.charts(),
		"Evidence": i.evidence(), "Footnote": footnote,
	})
}
