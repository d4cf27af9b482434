// SPDX-License-Identifier: MPL-2.0

package mounts

import (
	"errors"
	"fmt"
	"strings"
)

// maxSkipped is how many reasons are kept.
const maxSkipped = 3

// Skipped collects why parts of a file were not read: the first reasons, and how many more there are. The zero Skipped has none.
type Skipped struct {
	reasons []string
	count   int
}

// Add adds a reason; nil is none.
func (s *Skipped) Add(reason error) {
	if reason == nil {
		return
	}

	if s.count++; s.count <= maxSkipped {
		s.reasons = append(s.reasons, reason.Error())
	}
}

// Err returns the reasons in one line, or nil when there is none.
func (s *Skipped) Err() error {
	switch {
	case s.count == 0:
		return nil
	case s.count > maxSkipped:
		return fmt.Errorf("%s; and %d more", strings.Join(s.reasons, "; "), s.count-maxSkipped)
	default:
		return errors.New(strings.Join(s.reasons, "; "))
	}
}
