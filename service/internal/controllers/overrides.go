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

// overrideText says what was instructed, until when, by whom and why.
func overrideText(spec *resources.OverrideSpec) string {
	kind := map[string]string{
		resources.OverridePause: "paused", resources.OverrideRelease: "released", resources.OverrideThrottle: "throttled",
	}[spec.Kind]

	text := fmt.Sprintf("%s until %s by %s", kind, spec.Until.Format(time.RFC3339), cmp.Or(spec.By.Subject, "an unknown person"))

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

// of returns the override that applies to a target: the node's pause before the target's own.
func (o overrides) of(target resource.ID) decide.Override {
	if pause, ok := o[resources.OverridePauseID]; ok {
		return pause
	}

	return o[target]
}
