// SPDX-License-Identifier: MPL-2.0

// Package output prints responses of nodes in the formats of talosctl: table, wide, yaml, json, jsonpath.
package output

import (
	"fmt"
	"io"
	"strings"

	"github.com/muesli/termenv"
)

// Formats of --output.
const Formats = "table, wide, yaml, json or jsonpath=TEMPLATE"

// Column of a table.
type Column struct {
	Title string
	// Wide columns are shown with -o wide only.
	Wide bool
}

// Row of a table: a cell per column.
type Row struct {
	Cells    []string
	Severity Severity
}

// Item is the response of one node.
type Item struct {
	// Node is the first column, and the first field.
	Node string
	// Value is a protobuf message or something that encoding/json writes as an object.
	Value any
	Rows  []Row
}

// Printer prints items as they come.
type Printer interface {
	// Print writes the items. It returns ItemErrors for those that it cannot write, after it has written the others.
	Print(items ...Item) error
}

// ItemError is why an item was not written: a node sends what the format has no form for, or nothing that a template expects.
type ItemError struct {
	Node string
	Err  error
}

// Error implements error.
func (e ItemError) Error() string {
	if e.Node == "" {
		return e.Err.Error()
	}

	return e.Node + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e ItemError) Unwrap() error { return e.Err }

// ItemErrors are those of some items.
type ItemErrors []ItemError

// Error implements error.
func (e ItemErrors) Error() string {
	var texts []string

	for _, err := range e {
		texts = append(texts, err.Error())
	}

	return strings.Join(texts, "\n")
}

// New returns the printer of a format, with the node's name as the first column. Terminals get colours, unless NO_COLOR
// is set.
func New(format string, w io.Writer, columns []Column) (Printer, error) {
	return newPrinter(format, w, columns, true)
}

// NewWithoutTitles is New without the line of titles, for scripts that read the table.
func NewWithoutTitles(format string, w io.Writer, columns []Column) (Printer, error) {
	printer, err := New(format, w, columns)

	if table, ok := printer.(*table); ok {
		table.started = true
	}

	return printer, err
}

// NewLocal is New for items without a node.
func NewLocal(format string, w io.Writer, columns []Column) (Printer, error) {
	return newPrinter(format, w, columns, false)
}

func newPrinter(format string, w io.Writer, columns []Column, nodes bool) (Printer, error) {
	name, template, _ := strings.Cut(format, "=")

	switch name {
	case "table", "wide":
		return newTable(termenv.NewOutput(w), columns, nodes, name == "wide"), nil
	case "json":
		return &structured{w: w, format: formatJSON}, nil
	case "yaml":
		return &structured{w: w, format: formatYAML}, nil
	case "jsonpath":
		if template == "" {
			return nil, fmt.Errorf("invalid --output %q: the template is missing, for example jsonpath={.state}", format)
		}

		return newJSONPath(w, template)
	default:
		return nil, fmt.Errorf("invalid --output %q: must be %s", format, Formats)
	}
}
