// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/config"
)

// State of a rule.
type State string

// States of a rule: ok -> pending -> firing -> releasing -> ok.
const (
	// StateOK: the average is at or under the threshold.
	StateOK State = "ok"
	// StatePending: above the threshold, but not for long enough, or with credit left.
	StatePending State = "pending"
	// StateFiring: above the threshold for the rule's time, and not yet down at the release threshold.
	StateFiring State = "firing"
	// StateReleasing: it fired, was at or under the release threshold and not above the threshold since,
	// but not for long enough.
	StateReleasing State = "releasing"
	// StateUnavailable: the signal cannot be read. A unavailable rule never trips and never releases.
	StateUnavailable State = "unavailable"
)

// RuleStatus is a rule's outcome for one sample.
type RuleStatus struct {
	Rule  *config.Rule
	State State
	// Value is the average over the window, in the threshold's unit; 1 or 0 for an expression that is
	// true or not; 0 while unavailable.
	Value float64
	// Since is when the state began.
	Since time.Duration
	// TripsIn is the time left until a pending rule fires, if it goes on as it is.
	TripsIn time.Duration
	// Credit is what is left in the bucket of a rule with credit, 0..1.
	Credit float64
	// Unavailable is why the signal cannot be read.
	Unavailable string
}

// rule is a rule's state machine.
type rule struct {
	config   config.Rule
	enforced bool
	meters   []meter
	credit   credit
	lasting  endurance

	state State
	since time.Duration
	// reported is the state that the last status had, and reportedSince when it began: unavailable is one, too.
	reported      State
	reportedSince time.Duration

	unavailable string
	value       float64
	above       bool
	last        time.Duration
}

func newRule(cfg config.Rule, enforced bool, random float64) rule {
	r := rule{config: cfg, enforced: enforced, state: StateOK, lasting: newEndurance(cfg.For.Duration, cfg.Dip.Value)}

	signals := []config.Signal{cfg.Signal}
	if !cfg.Expression.IsZero() {
		signals = cfg.Expression.Signals()
	}

	for _, signal := range signals {
		r.meters = append(r.meters, newMeter(signal, cfg.Window.Duration))
	}

	if !cfg.Credit.IsZero() {
		r.credit = newCredit(cfg, random)
	}

	return r
}

// reset forgets the counters.
func (r *rule) reset() {
	for i := range r.meters {
		r.meters[i].reset()
	}
}

// acquit returns the rule to ok, after a release: what it saw before is settled.
func (r *rule) acquit(at time.Duration) {
	r.lasting.clear()
	r.credit.refill()
	r.above = false

	if r.state != StateOK {
		r.enter(StateOK, at)
	}
}

// step moves the machine by one sample.
func (r *rule) step(sample *Sample, releaseAfter time.Duration) {
	at, passed := sample.At, sample.At-r.last
	r.last = at

	covered := r.measure(sample)

	if r.unavailable != "" {
		r.becomeUnavailable(at)

		return
	}

	if covered == 0 {
		// One point is no rate: after a reset or a unavailable spell the state stays as it was.
		return
	}

	above := r.isAbove()
	r.endure(at, passed, above)
	r.above = above

	switch r.state {
	case StateOK:
		if above {
			r.enter(StatePending, at)
			r.trip(at, covered)
		}
	case StatePending:
		switch {
		case above:
			r.trip(at, covered)
		case r.lasting.sum == 0:
			r.enter(StateOK, at)
		}
	case StateFiring:
		if r.down() {
			r.enter(StateReleasing, at)
		}
	case StateReleasing:
		// Between the two thresholds it stays what it is, or it would be noise at the edge.
		if above {
			r.enter(StateFiring, at)
		} else if at-r.since >= releaseAfter {
			r.lasting.clear()
			r.enter(StateOK, at)
		}
	}
}

// measure reads the meters; the time covered is that of the least covered one.
func (r *rule) measure(sample *Sample) time.Duration {
	r.unavailable = ""
	covered := r.config.Window.Duration

	for i := range r.meters {
		m := &r.meters[i]
		m.add(sample)

		covered = min(covered, m.covered)

		if m.unavailable != "" {
			r.unavailable = m.unavailable
		}
	}

	r.value = r.meters[0].value

	if r.unavailable == "" && !r.config.Expression.IsZero() && covered > 0 {
		r.value = r.evaluate(overWindow)
	}

	if r.unavailable == "" && !r.config.Credit.IsZero() {
		r.credit.step(r.meters[0].spent, r.meters[0].elapsed)
	}

	return covered
}

// evaluate is 1 when the expression is true, 0 when not; an expression that fails is unavailable.
func (r *rule) evaluate(of func(*meter) float64) float64 {
	result, err := r.config.Expression.Eval(values{meters: r.meters, of: of})
	if err != nil {
		r.unavailable = err.Error()
	}

	if result {
		return 1
	}

	return 0
}

func (r *rule) becomeUnavailable(at time.Duration) {
	// Unseen time does not count towards tripping.
	r.lasting.clear()
	r.above, r.value = false, 0

	if r.state == StatePending {
		r.enter(StateOK, at)
	}
}

func (r *rule) isAbove() bool { return r.value > r.config.Limit() }

// down tells that the value is as low as it must be after the rule fired.
func (r *rule) down() bool { return r.value <= r.config.ReleaseAt() }

// endure counts the time above. An average speaks for no more than its window: what lies before it
// in a gap between samples was not seen.
func (r *rule) endure(at, passed time.Duration, above bool) {
	seen := min(passed, r.config.Window.Duration)

	if !above {
		r.lasting.step(at, 0, passed)

		return
	}

	r.lasting.step(at, 0, passed-seen)

	if r.above {
		r.lasting.step(at, seen, 0)
	}
}

// trip fires a pending rule whose time has come. The window must be full, or one busy moment right
// after a start would count as a whole window of it.
func (r *rule) trip(at, covered time.Duration) {
	due := r.lasting.reached()
	if !r.config.Credit.IsZero() {
		due = r.credit.empty()
	}

	if due && covered >= r.config.Window.Duration {
		r.enter(StateFiring, at)
	}
}

func (r *rule) enter(state State, at time.Duration) {
	r.state, r.since = state, at
}

// quiet tells that the rule gives no reason for a ceiling. A rule that fired and went unavailable is not quiet.
func (r *rule) quiet() bool {
	switch r.state {
	case StateOK:
		return true
	case StateReleasing:
		return r.unavailable == ""
	default:
		return false
	}
}

func (r *rule) status() RuleStatus {
	status := RuleStatus{Rule: &r.config, State: r.state, Value: r.value, Unavailable: r.unavailable}

	if r.credit.capacity > 0 {
		status.Credit = r.credit.level / r.credit.capacity
	}

	if r.state == StatePending {
		status.TripsIn = r.tripsIn()
	}

	if r.unavailable != "" {
		status.State = StateUnavailable
	}

	if status.State != r.reported {
		r.reported, r.reportedSince = status.State, r.last
	}

	status.Since = r.reportedSince

	return status
}

func (r *rule) tripsIn() time.Duration {
	if r.config.Credit.IsZero() {
		return r.lasting.left()
	}

	if spending := r.value - r.credit.earn; spending > 0 {
		return time.Duration(min(r.credit.level/spending, maxTripsIn.Seconds()) * float64(time.Second))
	}

	return maxTripsIn
}

// maxTripsIn stands for never.
const maxTripsIn = 24 * time.Hour
