// SPDX-License-Identifier: MPL-2.0

package bounded

import (
	"errors"
	"fmt"
)

// maxErrors is how many errors are kept.
const maxErrors = 8

// Errors keeps the first eight errors and counts the others, so that their text has an end. The zero Errors has none.
type Errors struct {
	kept  error
	count int
}

// Add adds an error.
func (e *Errors) Add(err error) {
	if e.count++; e.count <= maxErrors {
		e.kept = errors.Join(e.kept, err)
	}
}

// Err returns the errors that were kept, joined, and how many others there are by a format with one verb; nil for none.
func (e *Errors) Err(others string) error {
	if e.count <= maxErrors {
		return e.kept
	}

	return errors.Join(e.kept, fmt.Errorf(others, e.count-maxErrors))
}
