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
	// StatePending: above the threshold, but not for long enough.
	StatePending State = "pending"
	// StateFiring: above the threshold for the rule's time.
	StateFiring State = "firing"
	// StateReleasing: it fired and is back under the threshold, but not for long enough.
	StateReleasing State = "releasing"
	// StateBlind: the signal cannot be read. A blind rule never trips and never releases.
	StateBlind State = "blind"
)

// RuleStatus is a rule's outcome for one sample.
type RuleStatus struct {
	Rule  config.Rule
	State State
	// Value is the average over the window, in the threshold's unit; 0 while blind.
	Value float64
	// Since is when the state began.
	Since time.Duration
	// TripsIn is the time left until a pending rule fires, if it stays above its threshold.
	TripsIn time.Duration
	// Blind is why the signal cannot be read.
	Blind string
}

// rule is a rule's state machine.
type rule struct {
	config config.Rule
	series series

	state State
	since time.Duration
	blind string
	value float64
}

func newRule(cfg config.Rule) rule {
	return rule{config: cfg, series: series{keep: cfg.Window.Duration}, state: StateOK}
}

// step moves the machine by one sample.
func (r *rule) step(at time.Duration, counter Counter, releaseAfter time.Duration) {
	if counter.Blind != "" {
		if r.blind == "" && r.state == StatePending {
			// Unseen time does not count towards tripping.
			r.enter(StateOK, at)
		}

		r.blind, r.value = counter.Blind, 0
		r.series.reset()

		return
	}

	r.blind = ""
	r.series.add(at, counter.Total)

	value, covered := r.series.rate(r.config.Window.Duration)
	if covered == 0 {
		// One point is no rate: after a reset or a blind spell the state stays as it was.
		return
	}

	r.value = value
	above := value > r.config.Threshold.Value

	switch r.state {
	case StateOK:
		if above {
			r.enter(StatePending, at)
			r.trip(at, covered)
		}
	case StatePending:
		if !above {
			r.enter(StateOK, at)
		} else {
			r.trip(at, covered)
		}
	case StateFiring:
		if !above {
			r.enter(StateReleasing, at)
		}
	case StateReleasing:
		if above {
			r.enter(StateFiring, at)
		} else if at-r.since >= releaseAfter {
			r.enter(StateOK, at)
		}
	}
}

// trip fires a pending rule whose time has come. The window must be full, or one busy moment right
// after a start would count as a whole window of it.
func (r *rule) trip(at, covered time.Duration) {
	if at-r.since >= r.config.For.Duration && covered >= r.config.Window.Duration {
		r.enter(StateFiring, at)
	}
}

func (r *rule) enter(state State, at time.Duration) {
	r.state, r.since = state, at
}

// quiet tells that the rule gives no reason for a ceiling. A rule that fired and went blind is not quiet.
func (r *rule) quiet() bool {
	switch r.state {
	case StateOK:
		return true
	case StateReleasing:
		return r.blind == ""
	default:
		return false
	}
}

func (r *rule) status(at time.Duration) RuleStatus {
	status := RuleStatus{Rule: r.config, State: r.state, Value: r.value, Since: r.since, Blind: r.blind}

	if r.state == StatePending {
		status.TripsIn = max(0, r.config.For.Duration-(at-r.since))
	}

	if r.blind != "" {
		status.State = StateBlind
	}

	return status
}
