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
	// Throttle: a ceiling on one target. A lower ceiling of its rules stays in force.
	Throttle OverrideKind = "throttle"
)

// Override is a time-limited instruction of a person for one workload. The zero Override is none.
type Override struct {
	Kind OverrideKind
	// Millicores of a throttle, in thousandths of a core.
	Millicores int64
	// Since and Until on CLOCK_BOOTTIME.
	Since, Until time.Duration
	// Text says what was instructed, until when, by whom and why.
	Text string
}

// Suspends reports whether no ceiling may be in force.
func (o Override) Suspends() bool { return o.Kind == Pause || o.Kind == Release }

// Mark writes the override into a sample, so that the policy and a replay of the trace see it.
func (o Override) Mark(sample *policy.Sample) {
	sample.Suspended = o.Suspends()

	if o.Kind == Throttle {
		sample.Manual = float64(o.Millicores) / 1000
	}
}
