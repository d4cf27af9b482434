// SPDX-License-Identifier: MPL-2.0

package policy

import "time"

// trial is the time of a ceiling that the verdict compares.
type trial struct {
	rule     *rule
	before   Usage
	from, to Usage
	// throttled is the time that the workload was throttled at the floor.
	throttled time.Duration
	// open is set until the ceiling is lifted, written once it was seen in force.
	open, written bool
	// until is the end of the ceiling if it was lost before it was lifted: an external change, or a write that fails.
	until Usage
	lost  bool
	// limited is set once an override was in force after the ceiling was lifted: low usage under it does not show that the breach is over.
	limited bool
	// dueAt is when the verdict on a release by quiet is due; 0 for none.
	dueAt time.Duration
}

// begin starts a trial at an odometer's total; before is the usage without the ceiling. Without a rule there is nothing to judge by.
func (t *trial) begin(r *rule, before, total Usage) {
	*t = trial{rule: r, before: before, from: total, open: r != nil, dueAt: t.dueAt}
}

// unwritten reports whether the ceiling was not seen in force yet.
func (t *trial) unwritten() bool { return t.open && !t.written }

// write marks the first sample under the ceiling: what was used between the trip and the write was used without it.
func (t *trial) write(total Usage) { t.from, t.written = total, true }

// lose marks where the ceiling is lost, unless it is in force again later.
func (t *trial) lose(total Usage) { t.until, t.lost = total, true }

// end marks where the ceiling is lifted.
func (t *trial) end(total Usage) { t.to, t.open, t.limited = total, false, false }

// verdict judges the ceiling by the odometer's total: everything after t.to is without the ceiling. It is nil without
// a rule, or if the ceiling was never in force.
func (t *trial) verdict(total Usage, failedProbes int, end end) *Verdict {
	if t.rule == nil || !t.written {
		return nil
	}

	until := t.to
	if t.lost {
		until = t.until
	}

	v := &Verdict{
		Rule: t.rule.config.Name, Before: t.before, During: until.minus(t.from), After: total.minus(t.to), FailedProbes: failedProbes,
	}

	v.judge(t.throttled, end)

	return v
}

// released returns what was seen since a release by quiet. An amount is compared itself: a rule takes a while to fire again.
func (t *trial) released(total Usage) end {
	after, signal := total.minus(t.to), t.rule.config.Signal.row()

	switch {
	case t.rule.unavailable != "" || after.Over <= 0 || signal.usage != nil && signal.over(after) <= 0:
		return endUnknown
	case signal.usage != nil && signal.usage(after) > t.rule.config.Threshold, signal.usage == nil && t.rule.isAbove():
		return endBreach
	case t.limited:
		return endUnknown
	default:
		return endQuiet
	}
}

// end is what was seen of the breach without the ceiling.
type end int

const (
	endUnknown end = iota
	// endQuiet: there was none.
	endQuiet
	// endBreach: a probe measured the breach again, or the rule fired again.
	endBreach
)
