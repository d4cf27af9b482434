// SPDX-License-Identifier: MPL-2.0

package policy

import "time"

// rules are the rules of an engine, in the configuration's order.
type rules []*rule

// step moves every rule and returns the first that fires, an enforced one before one that only observes; nil for
// none. One that fired during a suspension counts only as long as it is above its threshold.
func (rs rules) step(sample *Sample, releaseAfter time.Duration) *rule {
	var firing *rule

	for _, r := range rs {
		r.step(sample, releaseAfter)

		if r.state == StateFiring && r.unavailable == "" && r.isAbove() && (firing == nil || r.enforced && !firing.enforced) {
			firing = r
		}
	}

	return firing
}

// above reports whether an enforced rule is above its threshold.
func (rs rules) above() bool {
	for _, r := range rs {
		if r.enforced && r.unavailable == "" && r.isAbove() {
			return true
		}
	}

	return false
}

// between reports whether an enforced rule that fired is between its two thresholds. A pending rule may be quiet by itself.
func (rs rules) between() bool {
	for _, r := range rs {
		if r.enforced && r.unavailable == "" && r.state == StateFiring && !r.isAbove() && !r.isDown() {
			return true
		}
	}

	return false
}

// quiet reports whether every rule is; rules that only observe count when observed is set.
func (rs rules) quiet(observed bool) bool {
	for _, r := range rs {
		if (r.enforced || observed) && !r.quiet() {
			return false
		}
	}

	return true
}

// measurable reports whether a probe of the ceiling that the named rule tripped could measure anything.
func (rs rules) measurable(name string) bool {
	for _, r := range rs {
		if r.enforced && r.unavailable != "" && (r.config.Name == name || r.state != StateOK) {
			return false
		}
	}

	return true
}

// named returns the rule; nil if the configuration does not have it any more.
func (rs rules) named(name string) *rule {
	for _, r := range rs {
		if r.config.Name == name {
			return r
		}
	}

	return nil
}

// firing reports whether a rule fires, whatever its mode.
func (rs rules) firing() bool {
	for _, r := range rs {
		if r.state == StateFiring {
			return true
		}
	}

	return false
}

// reset drops the counters.
func (rs rules) reset() {
	for _, r := range rs {
		r.reset()
	}
}

// mark begins the averages of a probe.
func (rs rules) mark(at time.Duration) {
	for _, r := range rs {
		for i := range r.meters {
			r.meters[i].begin(at)
		}
	}
}

// settle returns every rule to ok after a release.
func (rs rules) settle(at time.Duration) {
	for _, r := range rs {
		r.settle(at)
	}
}

// probed returns an enforced rule whose breach goes on without the ceiling that the named rule tripped, that rule before others
// and nil for none, and whether that is unknown for one.
func (rs rules) probed(name string, probe time.Duration, over bool) (breach *rule, unknown bool) {
	for _, r := range rs {
		if !r.enforced {
			continue
		}

		breaches, unmeasured := r.probed(name, probe, over)
		unknown = unknown || unmeasured

		if breaches && (breach == nil || r.config.Name == name) {
			breach = r
		}
	}

	return breach, unknown
}
