// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/safe"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/decide"
)

// overrides by target; a pause of the node has resources.OverridePauseID.
type overrides map[resource.ID]decide.Override

// readOverrides reads the Override resources. One that has expired may still be among them: see at.
func readOverrides(ctx context.Context, r controller.Reader) (overrides, error) {
	list, err := safe.ReaderListAll[*resources.Override](ctx, r)
	if err != nil {
		return nil, fmt.Errorf("failed to list overrides: %w", err)
	}

	found := overrides{}

	for override := range list.All() {
		found[override.Metadata().ID()] = overrideOf(override.TypedSpec())
	}

	return found, nil
}

func overrideOf(spec *resources.OverrideSpec) decide.Override {
	return decide.Override{
		Kind: decide.OverrideKind(spec.Kind), Millicores: spec.CeilingMillicores, Since: spec.SinceClock, Until: spec.UntilClock,
		Text: overrideText(spec),
	}
}

// overrideText says what was instructed, by whom, until when and why.
func overrideText(spec *resources.OverrideSpec) string {
	kind := map[string]string{
		resources.OverridePause: "paused", resources.OverrideRelease: "released", resources.OverrideThrottle: "throttled",
	}[spec.Kind]

	text := kind + " by " + cmp.Or(spec.By.Subject, "an unknown person")

	// The system's clock may not be set.
	if !spec.Until.IsZero() {
		text += " until " + spec.Until.Format(time.RFC3339)
	}

	if spec.Reason != "" {
		text += ": " + spec.Reason
	}

	return text
}

// at returns the overrides that have not expired.
func (o overrides) at(now time.Duration) overrides {
	if len(o) == 0 {
		return nil
	}

	inForce := overrides{}

	for id, override := range o {
		if now < override.Until {
			inForce[id] = override
		}
	}

	return inForce
}

// of returns the overrides that concern a target.
func (o overrides) of(target resource.ID) decide.Overrides {
	return decide.Overrides{Node: o[resources.OverridePauseID], Target: o[target]}
}
