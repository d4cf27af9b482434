// SPDX-License-Identifier: MPL-2.0

package decide

import (
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// Workload decides for one workload. It belongs to the workload, not to the container that runs it now. Make one with
// NewWorkload.
type Workload struct {
	engine    *policy.Engine
	container string
	clock     time.Duration
	overrides Overrides

	// decision holds the rules in the engine's slice; before is a copy of the rules of the step before.
	decision policy.Decision
	before   []policy.RuleStatus
	verdict  *policy.Verdict
	// verdictAt is the time of the sample that the verdict was made on.
	verdictAt time.Duration

	reason       reason
	yieldedSince time.Duration
}

// NewWorkload returns a workload that decides with an engine. YieldedSince is the Since of a hold that yielded to an
// external change before the service restarted; 0 for none.
func NewWorkload(engine *policy.Engine, yieldedSince time.Duration) *Workload {
	return &Workload{engine: engine, yieldedSince: yieldedSince}
}

// Replace continues with another engine, after a change of the configuration. The next sample counts, whatever its time.
func (w *Workload) Replace(engine *policy.Engine) { w.engine, w.clock = engine, 0 }

// Update takes the container and the overrides that are in force now. Another container's counters begin at zero.
func (w *Workload) Update(container string, overrides *Overrides) {
	if w.container != "" && w.container != container {
		w.engine.Restart()
	}

	if w.overrides.Prevailing().Kind != "" && overrides.Prevailing().Kind == "" {
		w.reason.released = "the override ended"
	}

	w.container, w.overrides = container, *overrides
}

// Due reports whether a sample of this time has not been decided on yet.
func (w *Workload) Due(clock time.Duration) bool { return clock != w.clock }

// Step decides on a sample. It reports whether the decision differs from the one before.
func (w *Workload) Step(sample policy.Sample) bool {
	probing := w.decision.Hold.Probing

	// The engine overwrites its rules at each step.
	w.before = append(w.before[:0], w.decision.Rules...)
	w.clock = sample.At
	w.decision = w.engine.Step(sample)

	if w.decision.Verdict != nil {
		w.verdict, w.verdictAt = w.decision.Verdict, sample.At
	}

	w.reason.update(&w.decision, probing, w.Override())

	return w.changed()
}

func (w *Workload) changed() bool {
	if w.decision.Event != "" || w.decision.Verdict != nil || len(w.before) != len(w.decision.Rules) {
		return true
	}

	for i := range w.before {
		if w.before[i].State != w.decision.Rules[i].State {
			return true
		}
	}

	return false
}

// Yield notes that the hold that began at since yielded to an external change, so that it does so after a restart, too.
// It reports whether that is new.
func (w *Workload) Yield(since time.Duration) bool {
	if since != w.decision.Hold.Since || since == w.yieldedSince {
		return false
	}

	w.yieldedSince = since

	return true
}

// Decision is the newest one; it is valid until the next step.
func (w *Workload) Decision() *policy.Decision { return &w.decision }

// Before are the rules as they were before the newest decision.
func (w *Workload) Before() []policy.RuleStatus { return w.before }

// Verdict on the last ceiling that ended, and the time of the sample that it was made on; nil when there is none.
func (w *Workload) Verdict() (*policy.Verdict, time.Duration) { return w.verdict, w.verdictAt }

// Override that prevails; the zero Override for none.
func (w *Workload) Override() *Override { return w.overrides.Prevailing() }

// Reason says why the rules hold a ceiling, or why the last one ended; empty when there was none.
func (w *Workload) Reason() string {
	if w.decision.Held {
		return w.reason.tripped
	}

	return w.reason.released
}

// SavedState is what the next engine of the workload continues from.
func (w *Workload) SavedState() policy.SavedState { return w.engine.SavedState() }

// YieldedSince is the Since of the hold that yielded to an external change; 0 for none.
func (w *Workload) YieldedSince() time.Duration { return w.yieldedSince }

// Desired returns the ceiling that should be in force now.
func (w *Workload) Desired(s *Settings) DesiredCeiling {
	return Arbitrate(&Case{
		Now: w.clock, Decision: &w.decision, Reason: w.reason.tripped, Released: w.reason.released,
		Overrides: w.overrides, YieldedSince: w.yieldedSince,
	}, s)
}
