// SPDX-License-Identifier: MPL-2.0

package config

import "github.com/spegel-guard/spegel-guard/pkg/policy"

// Strategy says how a ceiling is chosen.
type Strategy = policy.Strategy

// StopAction says what happens to a ceiling when the service stops.
type StopAction string

// Actions on stop.
const (
	// StopRelease restores the owner's limit.
	StopRelease StopAction = "release"
	// StopKeep leaves the ceiling in force; the next start adopts it.
	StopKeep StopAction = "keep"
)

// Conflict says what happens after an external change of cpu.max under a ceiling. Either way the new value is the
// owner's limit from then on, and what a release restores.
type Conflict string

// Ways to deal with an external change.
const (
	// ConflictReassert applies the lower of the two again, at growing intervals.
	ConflictReassert Conflict = "reassert"
	// ConflictYield leaves the new value in force for the rest of the hold.
	ConflictYield Conflict = "yield"
)

// Ceiling is what a tripped rule leads to.
type Ceiling struct {
	// CPU is the ceiling in cores.
	CPU CPU `yaml:"cpu"`
	// Floor is the lowest ceiling that is ever written, in cores.
	Floor CPU `yaml:"floor"`
	// Strategy: fixed leaves the ceiling as it is; adaptive steps down while a rule about a byte rate stays above its threshold.
	Strategy Strategy `yaml:"strategy"`
	// Step is the share of the ceiling that one step of the adaptive strategy leaves.
	Step Share `yaml:"step"`
	// Hold is the minimum time of a ceiling.
	Hold Duration `yaml:"hold"`
	// ReleaseAfter is how long every enforced rule must be quiet, and the workload not throttled by a ceiling, before a release.
	ReleaseAfter Duration `yaml:"releaseAfter"`
	// Probe is how long the ceiling is lifted, after the hold, to measure the demand of a throttled workload; 0 never probes. At least 5
	// times target.metrics.interval (and interval) if an enforced rule reads the signal allocation.
	Probe Duration `yaml:"probe"`
	// Backoff is how the hold grows.
	Backoff Backoff `yaml:"backoff"`
	// Conflict is what happens after an external change of cpu.max, which is the owner's limit from then on either way:
	// reassert applies the lower of the two again, at growing intervals; yield leaves it in force for the rest of the hold.
	Conflict Conflict `yaml:"conflict"`
	// OnStop is what happens to a ceiling when the service stops: release it, or keep it for the next start if its hold
	// is not over.
	OnStop StopAction `yaml:"onStop"`
}

// Backoff of the hold: each trip multiplies the next hold by Factor, up to Max; each Max without a trip removes one
// factor.
type Backoff struct {
	// Factor that each trip multiplies the next hold by.
	Factor Share `yaml:"factor"`
	// Max is the longest hold.
	Max Duration `yaml:"max"`
}

// policy converts the ceiling.
func (c Ceiling) policy() policy.Ceiling {
	return policy.Ceiling{
		Millicores: c.CPU.Millicores, Floor: c.Floor.Millicores, Strategy: c.Strategy, Step: c.Step.Value,
		Hold: c.Hold.Duration, ReleaseAfter: c.ReleaseAfter.Duration, Probe: c.Probe.Duration,
		Backoff: policy.Backoff{Factor: c.Backoff.Factor.Value, Max: c.Backoff.Max.Duration},
	}
}
