// SPDX-License-Identifier: MPL-2.0

package policy

import "time"

// adaptive moves a ceiling with the byte rates of the enforced rules.
type adaptive struct {
	ceiling Ceiling
	// changedAt is when the ceiling last changed.
	changedAt time.Duration
}

// follows reports whether the ceiling follows the rule's signal.
func (a *adaptive) follows(r *rule) bool {
	return a.ceiling.Strategy == StrategyAdaptive && r.enforced && r.config.Signal.Unit() == BytesPerSecond
}

// settled reports whether the window of every rule that the ceiling follows lies after its last change.
func (a *adaptive) settled(rs rules, at time.Duration) bool {
	for _, r := range rs {
		if a.follows(r) && at-a.changedAt < r.config.Window {
			return false
		}
	}

	return true
}

// lower returns the next lower ceiling in millicores when a rule that fired is still above its threshold, and
// whether there is one.
func (a *adaptive) lower(rs rules, hold Hold, top int64, at time.Duration) (int64, bool) {
	for _, r := range rs {
		if !a.follows(r) || r.unavailable != "" || r.state != StateFiring || !r.isAbove() || at-a.changedAt < r.config.Window {
			continue
		}

		// The owner's limit may have become known, or lower, since the ceiling was chosen.
		lower := max(a.ceiling.Floor, int64(float64(min(hold.Millicores, top))*a.ceiling.Step))

		return lower, lower < hold.Millicores
	}

	return 0, false
}

// higher returns the next higher ceiling in millicores when the rules have room for it, and whether there is one.
func (a *adaptive) higher(rs rules, hold Hold, top int64, at time.Duration) (int64, bool) {
	if a.ceiling.Strategy != StrategyAdaptive || hold.Millicores >= top || !a.settled(rs, at) {
		return 0, false
	}

	for _, r := range rs {
		if a.follows(r) && !r.isDown() {
			return 0, false
		}
	}

	return min(top, int64(float64(hold.Millicores)/a.ceiling.Step)+1), true
}
