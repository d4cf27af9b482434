// SPDX-License-Identifier: MPL-2.0

package decide

import (
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// OverrideKind is what an override does.
type OverrideKind string

// Kinds of overrides, in the order of their precedence.
const (
	// Pause: no ceiling on the whole node.
	Pause OverrideKind = "pause"
	// Release: no ceiling on one target.
	Release OverrideKind = "release"
	// Throttle: a ceiling on one target. A lower ceiling of its rules stays in force, except one that has yielded.
	Throttle OverrideKind = "throttle"
)

// Override is a time-limited instruction of a person. The zero Override is none.
type Override struct {
	Kind OverrideKind
	// Millicores of a throttle, in thousandths of a core.
	Millicores int64
	// Since and Until on CLOCK_BOOTTIME.
	Since, Until time.Duration
	// Text says what was instructed, by whom, until when and why.
	Text string
}

// Suspends reports whether no ceiling may be in force.
func (o *Override) Suspends() bool { return o.Kind == Pause || o.Kind == Release }

// Overrides are those in force that concern one workload.
type Overrides struct {
	// Node is a pause of the whole node, Target the override of the workload alone.
	Node, Target Override
}

// Prevailing returns the override that counts; the zero Override for none.
func (o *Overrides) Prevailing() *Override {
	if o.Node.Kind != "" {
		return &o.Node
	}

	return &o.Target
}

// Mark writes the prevailing override into a sample, so that the policy and a replay of the trace see it.
func (o *Overrides) Mark(sample *policy.Sample) {
	override := o.Prevailing()
	sample.Suspended = override.Suspends()

	if override.Kind == Throttle {
		sample.Override = float64(override.Millicores) / 1000
	}
}
