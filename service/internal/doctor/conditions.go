//go:build linux

package doctor

import (
	"context"
	"fmt"

	"github.com/cosi-project/runtime/pkg/safe"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// conditions returns a check for each condition of the guard.
func (d Doctor) conditions(ctx context.Context) ([]Check, error) {
	all, err := safe.StateListAll[*resources.Condition](ctx, d.State)
	if err != nil {
		return nil, fmt.Errorf("failed to list conditions: %w", err)
	}

	var checks []Check

	for condition := range all.All() {
		spec := condition.TypedSpec()
		check := Check{Name: condition.Metadata().ID(), State: resources.CheckOK, Message: spec.Message}

		if !spec.OK {
			check.State, check.Message, check.Fix = resources.CheckFailed, spec.Reason, resources.Fix(spec.Reason)

			if spec.Message != "" {
				check.Message += ": " + spec.Message
			}
		}

		checks = append(checks, check)
	}

	return checks, nil
}
