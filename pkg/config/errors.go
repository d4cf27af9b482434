// SPDX-License-Identifier: MPL-2.0

package config

import (
	"fmt"
	"strings"
)

// FieldError is one wrong field.
type FieldError struct {
	// Line in the document, 0 when the field is not written there.
	Line int
	// Field as a path: rules[0].threshold.
	Field string
	// Value as written.
	Value string
	// Allowed is what the value must be.
	Allowed string
}

// Error implements error, in one line.
func (e FieldError) Error() string {
	field := e.Field
	if field == "" {
		field = "document"
	}

	text := fmt.Sprintf("invalid %s %q: must be %s", field, e.Value, e.Allowed)

	if e.Line > 0 {
		return fmt.Sprintf("line %d: %s", e.Line, text)
	}

	return text
}

// Errors are all wrong fields of a document.
type Errors []FieldError

// Error implements error, in one line.
func (e Errors) Error() string {
	texts := make([]string, len(e))

	for i := range e {
		texts[i] = e[i].Error()
	}

	return strings.Join(texts, "; ")
}
