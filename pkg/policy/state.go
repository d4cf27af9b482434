// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"slices"
	"time"
)

// SavedState is what outlives an engine: a change of the configuration, or a restart of the guard.
type SavedState struct {
	// Hold that goes on; the zero Hold is none.
	Hold Hold `json:"hold,omitzero"`
	// Level of the back-off: how many trips still count.
	Level int `json:"level,omitempty"`
	// Released is when the last hold ended.
	Released time.Duration `json:"released,omitempty"`
	// Baselines are the usual levels of the signals that rules compare with them.
	Baselines []SavedBaseline `json:"baselines,omitempty"`
}

// At returns the state at a time up to which nothing was sampled: a hold that is over has ended. So has a probe,
// because it begins at the end of its hold.
func (s SavedState) At(now time.Duration) SavedState {
	if s.Hold.Rule != "" && now >= s.Hold.Until {
		s.Released, s.Hold = s.Hold.Until, Hold{}
	}

	return s
}

// SteppedDown returns the state after the step down by which the same hold differs from the saved one; the same state if it does not.
// Nothing else changes a hold before its end: a step down lowers the ceiling, and after the end it prolongs the hold. The hold that ends
// later is the newer one.
func (s SavedState) SteppedDown(hold Hold, ceiling Ceiling) SavedState {
	if hold.Until <= s.Hold.Until {
		s.Hold.Millicores = min(s.Hold.Millicores, hold.Millicores)

		return s
	}

	next := backoff{hold: ceiling.Hold, config: ceiling.Backoff, level: s.Level}
	s.Hold.Prolonged = max(s.Hold.Until, hold.Until-next.again())
	s.Hold.Millicores, s.Hold.Until, s.Level = hold.Millicores, hold.Until, next.level

	return s
}

// IsZero reports whether there is nothing to save.
func (s SavedState) IsZero() bool {
	return s.Hold == (Hold{}) && s.Level == 0 && s.Released == 0 && len(s.Baselines) == 0
}

// Equal reports whether both states are the same.
func (s SavedState) Equal(other SavedState) bool {
	return s.Hold == other.Hold && s.Level == other.Level && s.Released == other.Released &&
		slices.EqualFunc(s.Baselines, other.Baselines, SavedBaseline.Equal)
}
