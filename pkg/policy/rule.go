// SPDX-License-Identifier: MPL-2.0

package policy

import "time"

// rule is a rule's state machine.
type rule struct {
	config   Rule
	enforced bool
	meters   []meter
	credit   credit
	// baseline is the usual level of the signal; nil for a rule without one. Rules on the same signal share it.
	baseline *baseline
	lasting  endurance

	state State
	since time.Duration
	// reported is the state of the last status, unavailable included, and reportedSince when it began.
	reported      State
	reportedSince time.Duration

	unavailable string
	value       float64
	above       bool
	last        time.Duration
}

func newRule(cfg Rule, enforced bool, random float64) *rule {
	r := &rule{config: cfg, enforced: enforced, state: StateOK, lasting: newEndurance(cfg.For, cfg.Dip), credit: newCredit(cfg, random)}

	names := []Signal{cfg.Signal}
	if cfg.Expression != nil {
		names = cfg.Expression.Signals()
	}

	for _, name := range names {
		r.meters = append(r.meters, newMeter(name, cfg.Window))
	}

	return r
}

// reset drops the counters.
func (r *rule) reset() {
	for i := range r.meters {
		r.meters[i].reset()
	}
}

// settle returns the rule to ok after a release: what it measured before does not count any more.
func (r *rule) settle(at time.Duration) {
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
		// One point is no rate: after a reset or an unavailable time the state stays as it was.
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
		if r.isDown() {
			r.enter(StateReleasing, at)
		}
	case StateReleasing:
		// Between the two thresholds the state stays, or it would follow the noise.
		if above {
			r.enter(StateFiring, at)
		} else if at-r.since >= releaseAfter {
			r.lasting.clear()
			r.enter(StateOK, at)
		}
	}
}

// measure reads the meters and returns the time that the least covered one covers.
func (r *rule) measure(sample *Sample) time.Duration {
	r.unavailable = ""
	covered := r.config.Window

	for i := range r.meters {
		m := &r.meters[i]
		m.add(sample)

		covered = min(covered, m.covered)

		if m.unavailable != "" {
			r.unavailable = m.unavailable
		}
	}

	r.value = r.meters[0].value

	if r.unavailable == "" && r.config.Expression != nil && covered > 0 {
		r.value = r.evaluate((*meter).overWindow)
	}

	if r.unavailable == "" && r.hasCredit() {
		r.credit.step(r.meters[0].spent, r.meters[0].elapsed)
	}

	return covered
}

// evaluate returns 1 when the expression is true, 0 when not; an expression that fails is unavailable.
func (r *rule) evaluate(average func(*meter) float64) float64 {
	result, err := r.config.Expression.Eval(func(name Signal) float64 {
		for i := range r.meters {
			if r.meters[i].name == name {
				return average(&r.meters[i])
			}
		}

		return 0
	})
	if err != nil {
		r.unavailable = err.Error()
	}

	if result {
		return 1
	}

	return 0
}

// probed reports whether the signal was above the threshold since the probe began, and whether that is unknown. It is unknown if less than
// half of the probe was measured. Before the probe is over only an amount that the rest of it cannot make good is a breach. The ceiling
// was tripped by the named rule.
func (r *rule) probed(name string, probe time.Duration, over bool) (breach, unknown bool) {
	value, covered := r.sinceMark()

	switch {
	case r.unavailable != "" || covered <= 0 || over && 2*covered < probe:
		// A rule that had nothing to do with the ceiling does not keep it.
		return false, r.state != StateOK || r.config.Name == name
	case r.config.Expression != nil:
		breach = over && r.evaluate((*meter).overProbe) > 0

		return breach, r.unavailable != ""
	case over:
		return value > r.config.Threshold, false
	default:
		return value*covered.Seconds() > r.config.Threshold*max(probe, covered).Seconds(), false
	}
}

// sinceMark returns the average of the first signal since the mark, and the time for which all are known.
func (r *rule) sinceMark() (value float64, covered time.Duration) {
	value, covered = r.meters[0].sinceMark()

	for i := range r.meters[1:] {
		_, another := r.meters[1+i].sinceMark()
		covered = min(covered, another)
	}

	return value, covered
}

func (r *rule) becomeUnavailable(at time.Duration) {
	// Time that was not measured does not count towards tripping.
	r.lasting.clear()
	r.above, r.value = false, 0

	if r.state == StatePending {
		r.enter(StateOK, at)
	}
}

// threshold returns what the value is compared with.
func (r *rule) threshold() float64 {
	if r.baseline == nil {
		return r.config.Threshold
	}

	return max(r.config.Threshold, r.config.Baseline.Times*r.baseline.usual)
}

// learning reports whether too little of the signal's past is known for the rule to fire.
func (r *rule) learning() bool {
	return r.baseline != nil && r.baseline.learned() < r.config.Baseline.Learn
}

func (r *rule) isAbove() bool { return r.value > r.threshold() && !r.learning() }

// isDown reports whether the value is at or under the release threshold.
func (r *rule) isDown() bool {
	return r.value <= r.release() || r.learning()
}

// release returns the release threshold, which rises with the threshold of a baseline.
func (r *rule) release() float64 {
	if r.baseline == nil {
		return r.config.Release
	}

	return r.config.Release / r.config.Threshold * r.threshold()
}

func (r *rule) hasCredit() bool { return r.credit.capacity > 0 }

// endure counts the time above. An average covers no more than its window: what lies before it in a gap between
// samples was not measured.
func (r *rule) endure(at, passed time.Duration, above bool) {
	measured := min(passed, r.config.Window)

	if !above {
		r.lasting.step(at, 0, passed)

		return
	}

	r.lasting.step(at, 0, passed-measured)

	if r.above {
		r.lasting.step(at, measured, 0)
	}
}

// trip fires a pending rule whose time has come. The window must be full, or one busy moment right
// after a start would count as a whole window of it.
func (r *rule) trip(at, covered time.Duration) {
	due := r.lasting.reached()
	if r.hasCredit() {
		due = r.credit.empty()
	}

	if due && covered >= r.config.Window {
		r.enter(StateFiring, at)
	}
}

func (r *rule) enter(state State, at time.Duration) {
	r.state, r.since = state, at
}

// quiet reports whether the rule gives no reason for a ceiling. A rule that fired and went unavailable is not quiet.
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
	status := RuleStatus{Rule: &r.config, State: r.state, Value: r.value, Threshold: r.threshold(), Release: r.release(), Unavailable: r.unavailable}

	if r.baseline != nil {
		status.Usual, status.Learned = r.baseline.usual, r.baseline.learned()
	}

	if r.hasCredit() {
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

// tripsIn returns the time until a pending rule fires if its value stays as it is; 0 if it does not, or not in the next 24 hours.
func (r *rule) tripsIn() time.Duration {
	switch {
	case !r.hasCredit() && !r.isAbove():
		return 0
	case !r.hasCredit():
		return r.lasting.left()
	}

	spending := r.value - r.credit.earn
	if spending <= 0 || r.credit.level/spending > maxTripsIn.Seconds() {
		return 0
	}

	return time.Duration(r.credit.level / spending * float64(time.Second))
}

// maxTripsIn bounds what is foretold of a credit.
const maxTripsIn = 24 * time.Hour
