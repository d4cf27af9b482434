// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"errors"
	"fmt"
	"time"
)

// ErrOutOfBounds is the error for a saved value outside its bounds.
var ErrOutOfBounds = errors.New("out of bounds")

// maxLevel of a back-off: a hold of one second reaches it after twelve days.
const maxLevel = 1 << 20

// Bounds of what was saved in this boot.
type Bounds struct {
	// Now is the time since the boot. Nothing was saved later.
	Now time.Duration
	// MaxHold is the longest hold.
	MaxHold time.Duration
	// MinMillicores and MaxMillicores of a ceiling.
	MinMillicores, MaxMillicores int64
}

// Check returns ErrOutOfBounds, with the field and what it may be, for a state that no engine has saved.
func (s SavedState) Check(b Bounds) error {
	if s.Level < 0 || s.Level > maxLevel {
		return fmt.Errorf("level %d is %w: must be 0..%d", s.Level, ErrOutOfBounds, maxLevel)
	}

	if err := checkBaselines(s.Baselines, b); err != nil {
		return err
	}

	if err := b.Past("released", s.Released); err != nil || s.Hold == (Hold{}) {
		return err
	}

	return s.Hold.Check(b)
}

// Check returns ErrOutOfBounds, with the field and what it may be, for a hold that no engine has begun.
func (h Hold) Check(b Bounds) error {
	// A step down after the hold's end prolongs it: it may have begun long ago.
	switch left := h.Until - b.Now; {
	case h.Rule == "":
		return fmt.Errorf("rule of the hold is %w: must not be empty", ErrOutOfBounds)
	case h.Millicores < b.MinMillicores || h.Millicores > b.MaxMillicores:
		return fmt.Errorf("ceiling of %dm is %w: must be %dm..%dm", h.Millicores, ErrOutOfBounds, b.MinMillicores, b.MaxMillicores)
	case h.Until < max(h.Since, h.Prolonged) || left > b.MaxHold:
		return fmt.Errorf("end of the hold at %s after the boot is %w: must be %s..%s",
			h.Until, ErrOutOfBounds, max(h.Since, h.Prolonged), b.Now+b.MaxHold)
	}

	return b.Past("since", h.Since)
}

// Past returns ErrOutOfBounds for a time before the boot or after now.
func (b Bounds) Past(field string, at time.Duration) error {
	if at < 0 || at > b.Now {
		return fmt.Errorf("%s at %s after the boot is %w: must be 0s..%s", field, at, ErrOutOfBounds, b.Now)
	}

	return nil
}
