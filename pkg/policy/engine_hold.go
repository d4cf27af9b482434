// SPDX-License-Identifier: MPL-2.0

package policy

// keep releases a hold, probes, or moves the ceiling.
func (e *Engine) keep() {
	over := e.sample.At >= e.hold.Until

	switch {
	case over && e.calm.quiet >= e.ceiling.ReleaseAfter:
		e.release(endQuiet)
	case e.hold.Observe:
	case e.stepDown(over):
	case !over || !e.stuck() || e.sample.CPU.Unavailable != "" || !e.rules.measurable(e.hold.Rule):
	case e.relax():
	case e.sample.Applied == 0:
		// A probe would lift nothing: what is measured is the demand without a ceiling.
		if e.calm.quiet == 0 && e.calm.under >= e.ceiling.ReleaseAfter {
			e.release(endQuiet)
			e.decision.NotInForce = true
		}
	case e.limitedElsewhere():
	case e.ceiling.Probe > 0 && e.adaptive.settled(e.rules, e.sample.At):
		e.startProbe()
	}
}

// stuck reports whether the hold does not end by quiet alone: the workload is throttled, or has settled between the two
// thresholds of a rule.
func (e *Engine) stuck() bool {
	return e.throttled || e.calm.quiet == 0 && e.calm.under >= e.ceiling.ReleaseAfter
}

// limitedElsewhere reports whether the owner's limit or an override is as low as the hold's ceiling, so that a probe
// would lift nothing.
func (e *Engine) limitedElsewhere() bool {
	low := func(limit float64) bool { return limit > 0 && limit*1000 <= float64(e.hold.Millicores) }

	return low(e.sample.Owner) || low(e.sample.Override)
}

// stepDown lowers the ceiling by one step if the adaptive strategy requires it; over is set when the hold is over.
func (e *Engine) stepDown(over bool) bool {
	lower, ok := e.adaptive.lower(e.rules, e.hold, e.ceiling.top(e.sample.Owner), e.sample.At)
	if !ok {
		return false
	}

	// It had been relaxed, and that was too much.
	if over {
		e.hold.Until, e.hold.Prolonged = e.sample.At+e.backoff.again(), e.sample.At
	}

	e.move(lower, EventStepDown)

	return true
}

// relax raises a lowered ceiling by one step if the adaptive strategy allows it.
func (e *Engine) relax() bool {
	higher, ok := e.adaptive.higher(e.rules, e.hold, e.ceiling.top(e.sample.Owner), e.sample.At)
	if ok {
		e.move(higher, EventRelax)
	}

	return ok
}

func (e *Engine) move(millicores int64, event Event) {
	e.hold.Millicores, e.adaptive.changedAt = millicores, e.sample.At
	e.decision.Event = event
}
