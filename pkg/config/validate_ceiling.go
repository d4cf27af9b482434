// SPDX-License-Identifier: MPL-2.0

package config

import (
	"fmt"

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
