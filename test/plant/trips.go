// SPDX-License-Identifier: MPL-2.0

package plant

import (
	"math"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// MaxTrips returns how often one workload may trip or fail a probe at most, within any time as long as the longest hold
// of the back-off. Holds that an override ended (Sample.Suspended) come on top.
func MaxTrips(ceiling policy.Ceiling) int {
	// Two trips less than Max apart have no Max without a hold between them, so each hold except the first is a level
	// above the one before.
	trips := 1

	for held := time.Duration(0); held < ceiling.Backoff.Max; trips++ {
		hold := float64(ceiling.Hold) * math.Pow(ceiling.Backoff.Factor, float64(trips-1))
		held += time.Duration(min(float64(ceiling.Backoff.Max), hold))
	}

	return trips
}
