// SPDX-License-Identifier: MPL-2.0

package config

import (
	"fmt"
	"slices"

	"github.com/spegel-guard/spegel-guard/internal/duration"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

func (v *validator) ceiling(ceiling Ceiling) {
	v.cpu("ceiling.floor", ceiling.Floor, minCPU)
	v.cpu("ceiling.cpu", ceiling.CPU, max(minCPU, ceiling.Floor.Millicores))
	oneOf(v, "ceiling.strategy", ceiling.Strategy, policy.StrategyFixed, policy.StrategyAdaptive)
	v.share("ceiling.step", ceiling.Step, minStep, maxStep)
	v.duration("ceiling.hold", ceiling.Hold, minHold, maxHold)
	v.duration("ceiling.releaseAfter", ceiling.ReleaseAfter, minHold, maxHold)
	v.duration("ceiling.backoff.max", ceiling.Backoff.Max, max(minHold, ceiling.Hold.Duration), maxHold)
	oneOf(v, "ceiling.conflict", ceiling.Conflict, ConflictReassert, ConflictYield)
	oneOf(v, "ceiling.onStop", ceiling.OnStop, StopRelease, StopKeep)

	if ceiling.Probe.Duration != 0 || ceiling.Probe.invalid != "" {
		v.duration("ceiling.probe", ceiling.Probe, minHold, maxWindow)
	}

	if factor := ceiling.Backoff.Factor; factor.invalid != "" || !(factor.Value >= 1 && factor.Value <= maxFactor) {
		v.reject("ceiling.backoff.factor", factor, fmt.Sprintf("a number of 1..%d", maxFactor))
	}
}

// probeScrapes is the shortest probe of application metrics in scrapes, and in samples if they are rarer. The scrapes that lie in such
// a probe cover at least half of it, whenever it begins, if they are answered within half of their interval.
const probeScrapes = 5

// probe rejects a probe in which a rule may not measure enough: its result would be unknown, and only quiet would end the hold.
func (v *validator) probe(cfg Config) {
	field, interval := "target.metrics.interval", cfg.Target.Metrics.Interval
	if cfg.Interval.Duration > interval.Duration {
		field, interval = "interval", cfg.Interval
	}

	shortest := probeScrapes * min(interval.Duration, maxInterval)
	if probe := cfg.Ceiling.Probe; probe.invalid != "" || probe.Duration == 0 || probe.Duration >= shortest || cfg.Target.Metrics.Port.Number == 0 {
		return
	}

	for _, rule := range cfg.Rules {
		if converted := rule.policy(); converted.Enforced(cfg.Mode) && slices.Contains(rule.signals(), SignalAllocation) {
			v.reject("ceiling.probe", cfg.Ceiling.Probe, fmt.Sprintf("at least %s (%d times %s), or 0s: the enforced rule %s reads the application metrics",
				duration.Exact(shortest), probeScrapes, field, rule.Name))

			return
		}
	}
}
