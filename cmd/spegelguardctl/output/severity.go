// SPDX-License-Identifier: MPL-2.0

package output

import "github.com/spegel-guard/spegel-guard/pkg/resources"

// Severity of a row, which sets its colour on a terminal.
type Severity int

// Severities.
const (
	Plain Severity = iota
	Good
	Warning
	Bad
)

// SeverityOf returns the severity of a guard's state.
func SeverityOf(state string) Severity {
	switch state {
	case resources.StateOK:
		return Good
	case resources.StatePending, resources.StateFiring, resources.StateThrottled, resources.StateReleasing, resources.StateProbing, resources.StatePaused:
		return Warning
	default:
		return Bad
	}
}
