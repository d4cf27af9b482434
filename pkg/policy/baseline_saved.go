// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"fmt"
	"slices"
	"time"
)

// SavedBaseline is the usual level of a signal as it is saved.
type SavedBaseline struct {
	Signal Signal `json:"signal"`
	// Hour of the first level, since the boot.
	Hour int64 `json:"hour"`
	// Levels of the hours from there on in the signal's unit; -1 for an hour that does not count. The first and the last one
	// count.
	Levels []float64 `json:"levels"`
}

// Equal reports whether both are the same.
func (s SavedBaseline) Equal(other SavedBaseline) bool {
	return s.Signal == other.Signal && s.Hour == other.Hour && slices.Equal(s.Levels, other.Levels)
}

// saved returns the level of each hour before the one in progress, and false if none counts.
func (b *baseline) saved() (SavedBaseline, bool) {
	saved := SavedBaseline{Signal: b.name}

	for hour := max(0, b.hour-BaselineHours); hour < b.hour; hour++ {
		level := *b.level(hour)

		if level == notCounted && len(saved.Levels) == 0 {
			continue
		}

		if len(saved.Levels) == 0 {
			saved.Hour = hour
		}

		saved.Levels = append(saved.Levels, level)
	}

	for n := len(saved.Levels); n > 0 && saved.Levels[n-1] == notCounted; n-- {
		saved.Levels = saved.Levels[:n-1]
	}

	return saved, len(saved.Levels) > 0
}

// adopt goes on with a saved baseline. The hour after its last one is in progress until the first sample.
func (b *baseline) adopt(saved SavedBaseline) {
	if len(saved.Levels) > BaselineHours || saved.Hour < 0 {
		return
	}

	for i, level := range saved.Levels {
		*b.level(saved.Hour + int64(i)) = level
	}

	b.hour, b.begun = saved.Hour+int64(len(saved.Levels)), true
	b.learn()
}

func (bs baselines) saved() []SavedBaseline {
	var all []SavedBaseline

	for _, b := range bs {
		if saved, ok := b.saved(); ok {
			all = append(all, saved)
		}
	}

	return all
}

// adopt goes on with the saved baselines of the signals that are compared.
func (bs baselines) adopt(all []SavedBaseline) {
	for _, saved := range all {
		for _, b := range bs {
			if b.name == saved.Signal {
				b.adopt(saved)
			}
		}
	}
}

// Check returns ErrOutOfBounds, with the field and what it may be, for a baseline that no engine has saved.
func (s SavedBaseline) Check(b Bounds) error {
	last := int64(b.Now / time.Hour)

	switch n := int64(len(s.Levels)); {
	case s.Signal.Unit() == "":
		return fmt.Errorf("signal %q of a baseline is %w: must be one of %v", s.Signal, ErrOutOfBounds, Signals())
	case n == 0 || n > BaselineHours:
		return fmt.Errorf("%d levels of the baseline of %s are %w: must be 1..%d", n, s.Signal, ErrOutOfBounds, BaselineHours)
	case s.Hour < 0 || s.Hour > last-n:
		return fmt.Errorf("first hour %d of the baseline of %s is %w: must be 0..%d", s.Hour, s.Signal, ErrOutOfBounds, last-n)
	}

	for _, level := range s.Levels {
		if level != notCounted && !(level >= 0 && level <= maxUsual) {
			return fmt.Errorf("level %v of the baseline of %s is %w: must be -1 or 0..%g", level, s.Signal, ErrOutOfBounds, maxUsual)
		}
	}

	return nil
}

func checkBaselines(all []SavedBaseline, b Bounds) error {
	for i, saved := range all {
		if slices.ContainsFunc(all[:i], func(other SavedBaseline) bool { return other.Signal == saved.Signal }) {
			return fmt.Errorf("signal %q of a baseline is %w: must be unique", saved.Signal, ErrOutOfBounds)
		}

		if err := saved.Check(b); err != nil {
			return err
		}
	}

	return nil
}
