// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"fmt"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/duration"
)

const (
	// harmfulUnready is how much more of its time a workload must be not ready under a ceiling to count as harm.
	harmfulUnready = 0.1
	// harmfulHits is how much lower the share of mirror requests that are served must be, and minRequests how many requests
	// a share needs.
	harmfulHits = 0.1
	minRequests = 20
)

// harm says what the workload could not do under the ceiling; empty when nothing shows that. Only what was measured counts.
func (v *Verdict) harm(throttled time.Duration) string {
	during := v.During

	if throttled > 0 && float64(throttled) > starvedAbove*float64(during.Over) {
		return fmt.Sprintf("throttled at the floor for %s of %s", duration.Format(throttled), duration.Format(during.Over))
	}

	if share := during.unready(); share > max(v.Before.unready(), v.After.unready())+harmfulUnready {
		return fmt.Sprintf("not ready for %.0f %% of the time under the ceiling", 100*share)
	}

	without := Usage{
		MirrorRequests: v.Before.MirrorRequests + v.After.MirrorRequests, MirrorHits: v.Before.MirrorHits + v.After.MirrorHits,
	}

	if during.MirrorRequests >= minRequests && without.MirrorRequests >= minRequests && during.hits() < without.hits()-harmfulHits {
		return fmt.Sprintf("%.0f %% of the mirror requests were served under the ceiling, %.0f %% without it", 100*during.hits(), 100*without.hits())
	}

	return ""
}

// unready returns the share of the time in which the workload was not ready.
func (u Usage) unready() float64 { return u.perSecond(u.UnreadySeconds) }

// hits returns the share of the mirror requests that were served.
func (u Usage) hits() float64 { return share(u.MirrorHits, u.MirrorRequests) }
