// SPDX-License-Identifier: MPL-2.0

// Package policy decides: samples of one workload in, rule states and the desired ceiling out.
//
// It reads no clock and no file; time is what the samples say. The same samples, the same configuration and the same
// seed always give the same decisions.
package policy

import (
	"cmp"
	"math/rand/v2"
	"time"
)

// Options of an engine.
type Options struct {
	// Seed draws where the credits start. Different nodes should have different ones.
	Seed uint64
	// Saved is the state of an engine before this one; the zero SavedState is none.
	Saved SavedState
}

// Engine decides for one workload.
type Engine struct {
	ceiling Ceiling
	rules   rules
	status  []RuleStatus
	// baselines are the usual levels of the signals that rules compare with them.
	baselines baselines

	demand   demand
	odometer odometer
	history  history
	backoff  backoff
	adaptive adaptive
	trial    trial
	calm     calm

	started bool
	// sample is the newest one.
	sample Sample
	held   bool
	hold   Hold
	// wasEnforced is set while the document does not enforce the hold that an earlier document enforced. The hold is saved as enforced,
	// because the next document may enforce it again.
	wasEnforced bool
	// throttled is set while the newest sample shows the workload held back by its quota.
	throttled bool
	// lastInForce is the time of the newest sample under the ceiling of the hold; 0 for none.
	lastInForce time.Duration
	probeEnd    time.Duration
	// lifted is when the ceiling of the probe was last in force.
	lifted time.Duration
	// late is the shortest window, which has at least two intervals: a sample that is later was delayed by a suspension.
	late     time.Duration
	decision Decision
}

// New returns an engine without samples.
func New(cfg Config, options Options) *Engine {
	e := &Engine{
		ceiling: cfg.Ceiling, backoff: backoff{hold: cfg.Ceiling.Hold, config: cfg.Ceiling.Backoff}, adaptive: adaptive{ceiling: cfg.Ceiling},
		status: make([]RuleStatus, len(cfg.Rules)),
	}

	random := rand.New(rand.NewPCG(options.Seed, 0)) //nolint:gosec // no secret: the same seed must give the same levels

	for _, rule := range cfg.Rules {
		r := newRule(rule, rule.Enforced(cfg.Mode), random.Float64())
		if rule.Baseline.Enabled() {
			r.baseline = e.baselines.of(rule.Signal)
		}

		e.rules = append(e.rules, r)
		e.history.span = max(e.history.span, rule.Window)
		e.late = min(cmp.Or(e.late, rule.Window), rule.Window)
	}

	e.demand = newDemand(e.history.span)
	e.adopt(options.Saved, cfg.Mode)
	e.decision = Decision{Held: e.held, Hold: e.hold}

	return e
}

// adopt goes on with the state of an engine before this one, under the mode of the document.
func (e *Engine) adopt(saved SavedState, mode Mode) {
	e.backoff.level, e.backoff.released = max(0, saved.Level), saved.Released
	e.baselines.adopt(saved.Baselines)

	if saved.Hold.Rule == "" {
		return
	}

	e.held, e.hold = true, saved.Hold

	// A journal has no level.
	if e.backoff.level == 0 && !e.hold.Observe {
		e.backoff.adopt(e.hold.Until - e.hold.Since)
	}

	e.hold.Probing = false

	if e.hold.Millicores == 0 || e.ceiling.Strategy == StrategyFixed {
		e.hold.Millicores = e.ceiling.Millicores
	}

	// The document may have a lower ceiling now.
	e.hold.Millicores = min(e.hold.Millicores, e.ceiling.Millicores)

	// A rule that is not enforced any more has no ceiling. The hold of one that was removed goes on, without a verdict.
	r := e.rules.named(e.hold.Rule)
	if !e.hold.Observe && (r == nil && mode == ModeObserve || r != nil && !r.enforced) {
		e.hold.Observe, e.wasEnforced = true, true
	}

	if !e.hold.Observe {
		e.trial.begin(r, Usage{}, Usage{})
	}
}

// SavedState returns what the next engine for the same workload continues with.
func (e *Engine) SavedState() SavedState {
	saved := SavedState{Level: e.backoff.level, Released: e.backoff.released, Baselines: e.baselines.saved()}
	if e.held {
		saved.Hold = e.hold
		saved.Hold.Observe = e.hold.Observe && !e.wasEnforced
	}

	return saved
}

// Restart drops the counters and keeps the decisions: the workload has a new container, whose counters begin at zero.
func (e *Engine) Restart() {
	e.rules.reset()
	e.baselines.reset()
	e.demand.reset()
	e.odometer.reset()
	e.calm = calm{}
}

// Step takes the next sample. One that is not newer than the last changes nothing.
func (e *Engine) Step(sample Sample) Decision {
	if e.started && sample.At <= e.sample.At {
		unchanged := e.decision
		unchanged.Event, unchanged.Verdict, unchanged.Learned, unchanged.NotInForce = "", nil, false, false

		return unchanged
	}

	passed := sample.At - e.sample.At
	if !e.started {
		passed = 0
	}

	e.started, e.sample = true, sample
	e.decision = Decision{}

	firing := e.rules.step(&e.sample, e.ceiling.ReleaseAfter)
	e.account(passed)

	switch {
	case sample.Suspended:
		if e.held {
			e.release(endUnknown)
		}
	case !e.held || e.hold.Observe && firing != nil && firing.enforced:
		if firing != nil {
			e.trip(firing)
		}
	case e.hold.Probing:
		e.probe()
	default:
		e.keep()
	}

	if e.trial.dueAt != 0 && sample.At >= e.trial.dueAt && e.decision.Event == "" {
		e.judgeRelease(nil)
	}

	e.decision.Learned = e.baselines.step(&e.sample, e.limited() || e.rules.firing())

	return e.conclude()
}

// limited reports whether a ceiling of the guard is in force, desired, or lifted for a probe.
func (e *Engine) limited() bool {
	return e.sample.Applied > 0 || e.sample.Override > 0 || e.held && !e.hold.Observe
}

// account brings demand, totals and calm up to date.
func (e *Engine) account(passed time.Duration) {
	e.demand.add(&e.sample)
	e.throttled = e.demand.isThrottled()

	e.odometer.add(&e.sample)
	e.history.add(e.odometer.total)

	// Time that was not measured was not quiet.
	passed = min(passed, e.history.span)
	enforced := e.held && e.hold.Enforced()
	inForce := enforced && e.sample.Applied > 0

	if inForce {
		e.lastInForce = e.sample.At
	}

	// Throttling by the owner's limit does not count: that limit stays after a release. After a ceiling is lost the averages of the rules
	// cover time under it for a while.
	recent := enforced && e.lastInForce > 0 && !inForce && e.sample.At-e.lastInForce < e.history.span
	e.decision.Limited = e.throttled && enforced && (inForce || e.sample.Override > 0)
	measured := e.sample.CPU.Unavailable == "" && !recent && !e.decision.Limited

	e.calm.step(passed, measured && e.rules.quiet(e.hold.Observe), measured && !e.rules.above())

	switch {
	case inForce && e.trial.unwritten():
		e.trial.write(e.odometer.divide())
	case inForce:
		e.trial.lost = false
	case enforced && e.trial.open && e.trial.written && !e.trial.lost:
		e.trial.lose(e.odometer.divide())
	}

	if !e.trial.open && e.sample.Override > 0 {
		e.trial.limited = true
	}

	// The release has not been written yet: what is without the ceiling begins here.
	if !e.held && e.trial.dueAt != 0 && e.sample.Applied > 0 {
		e.trial.to, e.trial.dueAt = e.odometer.divide(), e.sample.At+e.ceiling.ReleaseAfter
	}

	if inForce && e.throttled && e.hold.Millicores <= e.ceiling.Floor {
		e.trial.throttled += passed
	}
}

func (e *Engine) conclude() Decision {
	for i, r := range e.rules {
		e.status[i] = r.status()

		if r.hasCredit() && e.hold.Enforced() {
			e.status[i].TripsIn = 0
		}
	}

	e.decision.Held, e.decision.Hold = e.held, e.hold
	e.decision.ThrottledRatio, e.decision.Throttled = e.demand.ratio(), e.throttled
	e.decision.Rules = e.status

	if e.held {
		e.foresee()
	}

	return e.decision
}

// trip begins a hold.
func (e *Engine) trip(r *rule) {
	e.judgeRelease(r)

	top := e.ceiling.top(e.sample.Owner)

	if e.wasEnforced {
		e.backoff.released = e.sample.At
	}

	if r.enforced {
		e.begin(r.config.Name, top, e.backoff.next(e.sample.At))
		e.trial.begin(r, e.history.back(e.odometer.total), e.odometer.divide())
	} else {
		// Nothing is written, so a trip changes nothing: every hold is as long as the first.
		e.begin(r.config.Name, top, e.ceiling.Hold)
		e.hold.Observe = true
	}

	e.decision.Event = EventTrip
}

func (e *Engine) begin(rule string, millicores int64, hold time.Duration) {
	at := e.sample.At

	e.held, e.wasEnforced = true, false
	e.hold = Hold{Rule: rule, Since: at, Until: at + hold, Millicores: millicores}
	e.adaptive.changedAt, e.calm, e.lastInForce = at, calm{}, 0
}

// startProbe lifts the ceiling to measure the demand without it.
func (e *Engine) startProbe() {
	e.lift()
	e.hold.Probing, e.probeEnd = true, e.sample.At+e.ceiling.Probe
	e.decision.Event = EventProbe
}

// lift begins to measure without the ceiling.
func (e *Engine) lift() {
	e.rules.mark(e.sample.At)
	e.trial.end(e.odometer.divide())
	e.lifted = e.sample.At
}

// probe measures the demand without a ceiling. It ends early when the breach is certain. Its result is unknown if it finds no breach and
// was limited by an override, if the ceiling was in force for more than half of it, or if the node was suspended at its end.
func (e *Engine) probe() {
	if e.sample.Applied > 0 {
		e.lift()
	}

	length, over := e.probeEnd-e.lifted, e.sample.At >= e.probeEnd
	if 2*length < e.ceiling.Probe || e.sample.At-e.probeEnd > max(e.late, e.ceiling.Probe) {
		if over {
			e.retrip(nil)
		}

		return
	}

	breach, unknown := e.rules.probed(e.hold.Rule, length, over)

	switch {
	case breach != nil, over && (unknown || e.trial.limited):
		e.retrip(breach)
	case over:
		e.release(endQuiet)
	}
}

// retrip ends a probe with the ceiling as it was. A probe that could not measure has not failed.
func (e *Engine) retrip(breach *rule) {
	failed, seen, length := e.hold.FailedProbes, endUnknown, e.backoff.repeat()
	if breach != nil {
		failed, seen, length = failed+1, endBreach, e.backoff.again()
		e.decision.Breach = Breach{Rule: &breach.config, Value: breach.meters[0].overProbe()}
	}

	name, r := e.hold.Rule, e.rules.named(e.hold.Rule)
	if r == nil && breach != nil {
		// The document does not have the rule any more, and the ceiling is that of another one from here on.
		name, r = breach.config.Name, breach
	}

	e.decision.Verdict = e.trial.verdict(e.odometer.total, failed, seen)
	e.begin(name, e.hold.Millicores, length)
	e.hold.FailedProbes = failed
	e.trial.begin(r, e.trial.before, e.odometer.divide())

	e.decision.Event = EventRetrip
}

// release ends a hold: by quiet, by a probe that found no breach, or by a suspension, after which nothing was seen of the breach.
func (e *Engine) release(seen end) {
	at := e.sample.At

	switch {
	case e.trial.open:
		e.trial.end(e.odometer.divide())
		e.trial.dueAt = at + e.ceiling.ReleaseAfter
	case !e.hold.Observe:
		e.decision.Verdict = e.trial.verdict(e.odometer.total, e.hold.FailedProbes, seen)
	}

	if !e.hold.Observe || e.wasEnforced {
		e.backoff.released = at
	}

	e.held, e.wasEnforced, e.hold = false, false, Hold{}
	e.rules.settle(at)

	e.decision.Event = EventRelease
}

// judgeRelease judges a release by quiet by the usage since then. Tripped is the rule that trips now; nil for none.
func (e *Engine) judgeRelease(tripped *rule) {
	if e.trial.dueAt == 0 || e.trial.rule == nil {
		return
	}

	seen := e.trial.released(e.odometer.total)
	if tripped != nil && tripped == e.trial.rule {
		seen = endBreach
	}

	e.trial.dueAt = 0
	e.decision.Verdict = e.trial.verdict(e.odometer.total, 0, seen)
}
