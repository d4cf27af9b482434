//go:build linux

package controllers

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/safe"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// orders are what people ordered, by target; the whole node's stands under its own id.
type orders map[string]resources.OverrideSpec

// readOrders reads all there are. One that is over may not have been removed yet: see at.
func readOrders(ctx context.Context, r controller.Reader) (orders, error) {
	list, err := safe.ReaderListAll[*resources.Override](ctx, r)
	if err != nil {
		return nil, fmt.Errorf("error listing overrides: %w", err)
	}

	found := orders{}

	for override := range list.All() {
		found[override.Metadata().ID()] = *override.TypedSpec()
	}

	return found, nil
}

// at leaves out what is over.
func (o orders) at(now time.Duration) orders {
	if len(o) == 0 {
		return nil
	}

	inForce := orders{}

	for id, spec := range o {
		if now < spec.UntilClock {
			inForce[id] = spec
		}
	}

	return inForce
}

// of is the order that counts for a target; its Kind is empty when there is none. A pause comes first.
func (o orders) of(target string) resources.OverrideSpec {
	if pause, ok := o[resources.OverridePauseID]; ok {
		return pause
	}

	return o[target]
}

// inWords says what a person ordered, for people.
func inWords(order resources.OverrideSpec) string {
	done := map[string]string{
		resources.OverridePause: "paused", resources.OverrideRelease: "released by hand", resources.OverrideThrottle: "throttled by hand",
	}[order.Kind]

	text := fmt.Sprintf("%s until %s by %s", done, order.Until.Format(time.RFC3339), cmp.Or(order.By.Subject, "somebody"))

	if order.Reason != "" {
		text += ": " + order.Reason
	}

	return text
}

// manual is the ceiling that a person ordered, in cores; 0 for none.
func manual(order resources.OverrideSpec) float64 {
	if order.Kind != resources.OverrideThrottle {
		return 0
	}

	return float64(order.CeilingMillicores) / 1000
}
