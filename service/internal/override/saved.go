// SPDX-License-Identifier: MPL-2.0

package override

import (
	"fmt"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// checkSaved returns policy.ErrOutOfBounds for a saved override that no process of this boot has set. Its times of day do
// not count: they are derived from the clock of the boot.
func checkSaved(spec resources.OverrideSpec, now time.Duration) error {
	bounds := config.SavedBounds(now)
	length := spec.UntilClock - spec.SinceClock

	switch spec.Kind {
	case resources.OverridePause, resources.OverrideRelease:
		if spec.CeilingMillicores != 0 {
			return fmt.Errorf("ceiling of %dm is %w: must be 0 for a %s", spec.CeilingMillicores, policy.ErrOutOfBounds, spec.Kind)
		}
	case resources.OverrideThrottle:
		if spec.CeilingMillicores < bounds.MinMillicores || spec.CeilingMillicores > bounds.MaxMillicores {
			return fmt.Errorf("ceiling of %dm is %w: must be %dm..%dm", spec.CeilingMillicores, policy.ErrOutOfBounds, bounds.MinMillicores, bounds.MaxMillicores)
		}
	default:
		return fmt.Errorf("kind %q is %w: must be pause, release or throttle", spec.Kind, policy.ErrOutOfBounds)
	}

	if length < minDuration || length > maxDuration {
		return fmt.Errorf("time from %s to %s after the boot is %w: must be %s..%s",
			spec.SinceClock, spec.UntilClock, policy.ErrOutOfBounds, minDuration, maxDuration)
	}

	if err := (Request{Reason: spec.Reason}).CheckReason(); err != nil {
		return fmt.Errorf("%w: %w", policy.ErrOutOfBounds, err)
	}

	return bounds.Past("since", spec.SinceClock)
}
