package policy

import (
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/config"
)

// pressing is the share of enforcement periods with throttling above which demand presses on the ceiling.
//
// Usage under a quota is censored: it cannot show how much more the workload wants. The throttled
// share does; what a calm Go program has of it (a short garbage collection now and then) stays below this.
const pressing = 0.1

// Hold is a ceiling in force.
type Hold struct {
	// Rule that tripped.
	Rule string
	// Since is when it tripped, Until the earliest release.
	Since, Until time.Duration
}

// Decision is the outcome of one sample.
type Decision struct {
	// Hold is the wanted ceiling, nil for none.
	Hold *Hold
	// Tripped and Released mark the sample at which the hold began or ended.
	Tripped, Released bool
	// Pressure is the share of throttled periods over the tripped rule's window.
	Pressure float64
	// ReleasesIn is the time left until release if all stays quiet; 0 without a hold.
	ReleasesIn time.Duration
	// Rules in the configuration's order.
	Rules []RuleStatus
}

// Engine decides for one workload.
type Engine struct {
	ceiling config.Ceiling
	rules   []rule

	periods, throttled series

	started  bool
	last     time.Duration
	hold     *Hold
	quietAt  time.Duration
	quiet    bool
	decision Decision
}

// New returns an engine with an empty history.
//
// A hold that is already in force (left by an earlier process) is taken over; nil for none.
func New(cfg config.Config, inForce *Hold) *Engine {
	e := &Engine{ceiling: cfg.Ceiling, hold: inForce}

	var longest time.Duration

	for _, ruleConfig := range cfg.Rules {
		e.rules = append(e.rules, newRule(ruleConfig))
		longest = max(longest, ruleConfig.Window.Duration)
	}

	e.periods.keep, e.throttled.keep = longest, longest
	e.decision = Decision{Hold: inForce}

	return e
}

// Restart forgets the counters but no decision: the workload has a new container, whose counters begin at zero.
func (e *Engine) Restart() {
	for i := range e.rules {
		e.rules[i].series.reset()
	}

	e.periods.reset()
	e.throttled.reset()

	e.quiet = false
}

// Step takes the next sample. One that is not newer than the last changes nothing.
func (e *Engine) Step(sample Sample) Decision {
	if e.started && sample.At <= e.last {
		unchanged := e.decision
		unchanged.Tripped, unchanged.Released = false, false

		return unchanged
	}

	e.started, e.last = true, sample.At

	firing := e.stepRules(sample)
	pressure := e.pressure(sample)
	decision := Decision{Pressure: pressure, Rules: make([]RuleStatus, len(e.rules))}

	for i := range e.rules {
		decision.Rules[i] = e.rules[i].status(sample.At)
	}

	switch {
	case e.hold == nil && firing != "":
		e.hold = &Hold{Rule: firing, Since: sample.At, Until: sample.At + e.ceiling.Hold.Duration}
		e.quiet = false
		decision.Tripped = true
	case e.hold != nil && e.releasable(sample, pressure):
		e.hold = nil
		decision.Released = true
	}

	if e.hold != nil {
		hold := *e.hold
		decision.Hold = &hold
		decision.ReleasesIn = e.releasesIn(sample.At)
	}

	e.decision = decision

	return decision
}

// stepRules moves every rule and returns the first that fires.
func (e *Engine) stepRules(sample Sample) string {
	firing := ""

	for i := range e.rules {
		r := &e.rules[i]
		r.step(sample.At, sample.counter(r.config.Signal), e.ceiling.ReleaseAfter.Duration)

		if firing == "" && r.state == StateFiring && r.blind == "" {
			firing = r.config.Name
		}
	}

	return firing
}

func (e *Engine) pressure(sample Sample) float64 {
	e.periods.add(sample.At, float64(sample.Periods))
	e.throttled.add(sample.At, float64(sample.Throttled))

	window := e.periods.keep

	for i := range e.rules {
		if e.hold != nil && e.rules[i].config.Name == e.hold.Rule {
			window = e.rules[i].config.Window.Duration
		}
	}

	periods, _ := e.periods.delta(window)
	throttled, _ := e.throttled.delta(window)

	if periods <= 0 {
		return 0
	}

	return min(1, throttled/periods)
}

// releasable: the hold is over, and since releaseAfter every rule is quiet with nothing pressing on the ceiling.
func (e *Engine) releasable(sample Sample, pressure float64) bool {
	quiet := pressure < pressing && sample.CPU.Blind == ""

	for i := range e.rules {
		quiet = quiet && e.rules[i].quiet()
	}

	if quiet && !e.quiet {
		e.quietAt = sample.At
	}

	e.quiet = quiet

	return quiet && sample.At >= e.hold.Until && sample.At-e.quietAt >= e.ceiling.ReleaseAfter.Duration
}

func (e *Engine) releasesIn(at time.Duration) time.Duration {
	left := e.ceiling.ReleaseAfter.Duration

	if e.quiet {
		left -= at - e.quietAt
	}

	return max(0, left, e.hold.Until-at)
}
