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
	// open is set until the ceiling is lifted.
	open bool
	// dueAt is when the verdict on a release by quiet is due; 0 for none.
	dueAt time.Duration
}

// begin starts a trial at an odometer's total; before is the usage without the ceiling.
func (t *trial) begin(r *rule, before, total Usage) {
	*t = trial{rule: r, before: before, from: total, open: true, dueAt: t.dueAt}
}

// end marks where the ceiling is lifted.
func (t *trial) end(total Usage) { t.to, t.open = total, false }

// verdict judges the ceiling by the odometer's total: everything after t.to is without the ceiling. It is nil when
// there was none.
func (t *trial) verdict(total Usage) *Verdict {
	if t.rule == nil {
		return nil
	}

	v := &Verdict{Rule: t.rule.config.Name, Before: t.before, During: t.to.minus(t.from), After: total.minus(t.to)}

	signal := t.rule.config.Signal.row()
	threshold := t.rule.config.Threshold

	// What is no amount of anything is judged by the CPU it costs.
	if signal.usage == nil {
		signal, threshold = SignalCPU.row(), 0
	}

	v.judge(signal.usage, threshold, t.throttled)

	return v
}
