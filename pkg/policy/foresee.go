// SPDX-License-Identifier: MPL-2.0

package policy

// foresee says when the hold may end.
func (e *Engine) foresee() {
	d, left := &e.decision, max(0, e.hold.Until-e.sample.At)

	if e.hold.Probing {
		d.ReleasesIn = max(0, e.probeEnd-e.sample.At)

		return
	}

	d.Quiet = e.calm.quiet > 0
	quiet := max(left, e.ceiling.ReleaseAfter-e.calm.quiet)
	d.ReleasesIn = quiet

	if d.Quiet || e.hold.Observe {
		return
	}

	// Without a ceiling in force no probe is needed, unless it comes into force.
	if e.sample.Applied == 0 {
		d.ReleasesIn = max(left, e.ceiling.ReleaseAfter-e.calm.under)
	}

	if e.ceiling.Probe == 0 {
		return
	}

	// A probe may come before enough quiet does.
	d.ReleasesIn = min(d.ReleasesIn, left+e.ceiling.Probe)

	switch {
	case !e.willProbe():
	case e.throttled:
		d.ProbesIn = max(left, 1)
	case e.calm.quiet == 0 && e.calm.under > 0 && e.rules.between():
		d.ProbesIn = max(left, e.ceiling.ReleaseAfter-e.calm.under, 1)
		d.ReleasesIn = min(quiet, d.ProbesIn+e.ceiling.Probe)
	}
}

// willProbe reports whether the hold's end is a probe if the workload is throttled, or between two thresholds, until then. Where the
// adaptive strategy relaxes the ceiling first, nobody can tell.
func (e *Engine) willProbe() bool {
	return e.ceiling.Strategy == StrategyFixed && e.sample.Applied > 0 && !e.limitedElsewhere() && e.sample.CPU.Unavailable == "" &&
		e.rules.measurable(e.hold.Rule)
}
