// SPDX-License-Identifier: MPL-2.0

package policy

import "time"

// Hold is a desired ceiling.
type Hold struct {
	// Rule that tripped.
	Rule string `json:"rule"`
	// Since is when it tripped, Until the earliest release.
	Since time.Duration `json:"since"`
	Until time.Duration `json:"until"`
	// Prolonged is when a step down after its end prolonged it last; 0 if none did.
	Prolonged time.Duration `json:"prolonged,omitempty"`
	// Millicores of the ceiling, before the owner's limit is taken into account.
	Millicores int64 `json:"millicores"`
	// Observe is set when only rules in mode observe tripped: nothing is written.
	Observe bool `json:"observe,omitempty"`
	// FailedProbes is how many probes of this breach have measured it again.
	FailedProbes int `json:"failedProbes,omitempty"`
	// Probing is set while the ceiling is lifted to measure the demand without it.
	Probing bool `json:"probing,omitempty"`
}

// Enforced reports whether a ceiling is to be in force now.
func (h Hold) Enforced() bool { return h.Rule != "" && !h.Observe && !h.Probing }
