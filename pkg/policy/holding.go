// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/config"
)

// trip begins a hold.
func (e *Engine) trip(sample *Sample, r *rule) {
	e.judgeNow()

	top := e.top(sample)

	if !r.enforced {
		// Nothing is written, so nothing is learnt from it: every time is the first.
		e.begin(sample.At, r, top, e.ceiling.Hold.Duration)
		e.hold.Observe = true
	} else {
		e.begin(sample.At, r, top, e.backoff.next(sample.At))
		e.try(r)
	}

	e.decision.Event = EventTrip
}

func (e *Engine) begin(at time.Duration, r *rule, millicores int64, hold time.Duration) {
	e.held = true
	e.hold = Hold{Rule: r.config.Name, Since: at, Until: at + hold, Millicores: millicores}
	e.changedAt, e.quietFor, e.underFor = at, 0, 0
}

// try begins the time that the verdict will be about.
func (e *Engine) try(r *rule) {
	e.trial = trial{rule: r, before: e.history.back(e.odometer.total), from: e.odometer.total, open: true}
}

// top is the highest ceiling there is any sense in: the configured one, or the owner's limit.
func (e *Engine) top(sample *Sample) int64 {
	top := e.ceiling.CPU.Millicores

	if sample.Owner > 0 {
		top = min(top, int64(sample.Owner*1000))
	}

	return max(top, e.ceiling.Floor.Millicores)
}

// keep looks after a hold: releases it, probes, or moves the ceiling.
func (e *Engine) keep(sample *Sample) {
	at := sample.At
	over := at >= e.hold.Until

	switch {
	case over && e.quietFor >= e.ceiling.ReleaseAfter.Duration:
		e.release(at)
	case e.hold.Observe:
	case e.stepDown(sample, over):
	case !over || !e.stuck() || e.unavailable(sample):
	case e.relax(sample):
	case e.limitedAnyway(sample):
	case e.ceiling.Probe.Duration > 0 && e.settled(at):
		e.lift(at)
	}
}

// unavailable tells that a probe would prove nothing.
func (e *Engine) unavailable(sample *Sample) bool {
	if sample.CPU.Unavailable != "" {
		return true
	}

	for i := range e.rules {
		if r := &e.rules[i]; r.unavailable != "" && (r.config.Name == e.hold.Rule || r.state != StateOK) {
			return true
		}
	}

	return false
}

// stuck tells that waiting for quiet is not going to end the hold: the workload is throttled, or it has
// settled between the rules' two thresholds.
func (e *Engine) stuck() bool {
	return e.throttled || e.quietFor == 0 && e.underFor >= e.ceiling.ReleaseAfter.Duration
}

// limitedAnyway tells that a limit that is not the hold's is as low, the owner's own or a person's: there
// is nothing that a probe could lift.
func (e *Engine) limitedAnyway(sample *Sample) bool {
	for _, limit := range []float64{sample.Owner, sample.Manual} {
		if limit > 0 && limit*1000 <= float64(e.hold.Millicores) {
			return true
		}
	}

	return false
}

// settled tells that every window the adaptive strategy looks at is full of the ceiling as it is now.
func (e *Engine) settled(at time.Duration) bool {
	for i := range e.rules {
		if r := &e.rules[i]; e.adapts(r) && at-e.changedAt < r.config.Window.Duration {
			return false
		}
	}

	return true
}

// adapts tells that the ceiling follows the rule's signal.
func (e *Engine) adapts(r *rule) bool {
	return e.ceiling.Strategy == config.StrategyAdaptive && r.enforced && r.config.Signal.Bytes()
}

// stepDown lowers the ceiling when a rule about bytes that fired is still above its threshold.
func (e *Engine) stepDown(sample *Sample, over bool) bool {
	at := sample.At
	// What the owner allows may be known by now, and may be less.
	current := min(e.hold.Millicores, e.top(sample))

	for i := range e.rules {
		r := &e.rules[i]

		if !e.adapts(r) || r.unavailable != "" || r.state != StateFiring || !r.isAbove() || at-e.changedAt < r.config.Window.Duration {
			continue
		}

		lower := max(e.ceiling.Floor.Millicores, int64(float64(current)*e.ceiling.Step.Value))
		if lower >= e.hold.Millicores {
			return false
		}

		// It had been relaxed, and that was too much.
		if over {
			e.hold.Until = at + e.backoff.again()
		}

		e.hold.Millicores, e.changedAt = lower, at
		e.decision.Event = EventStepDown

		return true
	}

	return false
}

// relax raises a lowered ceiling by one step, when the rules about bytes leave room for it.
func (e *Engine) relax(sample *Sample) bool {
	top := e.top(sample)

	if e.ceiling.Strategy != config.StrategyAdaptive || e.hold.Millicores >= top || !e.settled(sample.At) {
		return false
	}

	for i := range e.rules {
		if r := &e.rules[i]; e.adapts(r) && !r.down() {
			return false
		}
	}

	e.hold.Millicores = min(top, int64(float64(e.hold.Millicores)/e.ceiling.Step.Value)+1)
	e.changedAt = sample.At
	e.decision.Event = EventRelax

	return true
}

// lift begins a probe.
func (e *Engine) lift(at time.Duration) {
	for i := range e.rules {
		for j := range e.rules[i].meters {
			m := &e.rules[i].meters[j]
			m.mark = m.last
		}
	}

	e.trial.to, e.trial.open = e.odometer.total, false
	e.hold.Probing, e.probeEnd = true, at+e.ceiling.Probe.Duration
	e.decision.Event = EventProbe
}

// probe looks at the demand without a ceiling. It ends early when the breach is certain.
func (e *Engine) probe(at time.Duration) {
	over, unseen := false, false

	for i := range e.rules {
		r := &e.rules[i]
		if !r.enforced {
			continue
		}

		breach, known := e.breaches(r, at)
		over = over || breach
		unseen = unseen || !known
	}

	switch {
	case over, unseen && at >= e.probeEnd:
		e.retrip(at)
	case at >= e.probeEnd:
		e.release(at)
	}
}

// breaches tells whether the rule's signal was above its limit since the probe began, and whether
// anything is known at all. Before its end only what cannot be made good any more is a breach.
func (e *Engine) breaches(r *rule, at time.Duration) (breach, known bool) {
	value, covered := r.meters[0].sinceMark()
	known = r.unavailable == "" && covered > 0

	switch {
	case !known:
		// A rule that had nothing to do with the ceiling does not keep it.
		return false, r.state == StateOK && r.config.Name != e.hold.Rule
	case !r.config.Expression.IsZero():
		return at >= e.probeEnd && r.evaluate(overProbe) > 0, r.unavailable == ""
	default:
		return value*covered.Seconds() > r.config.Limit()*max(e.ceiling.Probe.Duration, covered).Seconds(), true
	}
}

// retrip ends a probe with the ceiling as it was.
func (e *Engine) retrip(at time.Duration) {
	e.decision.Verdict = e.verdict()

	r := e.ruleNamed(e.hold.Rule)
	e.begin(at, r, e.hold.Millicores, e.backoff.again())

	before := e.trial.before
	e.try(r)
	e.trial.before = before

	e.decision.Event = EventRetrip
}

// release ends a hold: by quiet, or by a probe that found nothing.
func (e *Engine) release(at time.Duration) {
	if e.trial.open {
		e.trial.to, e.trial.open = e.odometer.total, false
		e.judgeAt = at + e.ceiling.ReleaseAfter.Duration
	}

	if !e.hold.Observe {
		e.decision.Verdict = e.verdict()
		e.backoff.freed = at
	}

	e.held, e.hold = false, Hold{}

	for i := range e.rules {
		e.rules[i].acquit(at)
	}

	e.decision.Event = EventRelease
}

// judge completes the verdict on a release by quiet with what came after.
func (e *Engine) judge(at time.Duration) {
	if e.judgeAt != 0 && at >= e.judgeAt && e.decision.Event == "" {
		e.judgeNow()
	}
}

func (e *Engine) judgeNow() {
	if e.judgeAt == 0 {
		return
	}

	e.judgeAt = 0
	e.decision.Verdict = e.verdict()
}

func (e *Engine) verdict() *Verdict {
	if e.trial.rule == nil {
		return nil
	}

	return e.trial.verdict(e.odometer.total)
}

// ruleNamed is the rule, or the first when the configuration has it no more.
func (e *Engine) ruleNamed(name string) *rule {
	for i := range e.rules {
		if e.rules[i].config.Name == name {
			return &e.rules[i]
		}
	}

	return &e.rules[0]
}
