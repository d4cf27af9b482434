//go:build linux

package override

import (
	"context"
	"fmt"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// action is the record of an order, or of its end.
func (b *Book) action(ctx context.Context, kind, id string, order Order, reason string) resources.GuardActionSpec {
	mode := "" // not known yet
	if active, err := b.active(ctx); err == nil {
		mode = active.Mode
	}

	return resources.GuardActionSpec{
		At: time.Now().UTC(), Action: kind, Mode: mode, Target: id, Rule: resources.RuleOverride, Reason: reason, By: order.By,
	}
}

func actionOf(kind string) string {
	switch kind {
	case resources.OverridePause:
		return resources.ActionPause
	case resources.OverrideThrottle:
		return resources.ActionThrottle
	default:
		return resources.ActionRelease
	}
}

func described(spec resources.OverrideSpec) string {
	if spec.Kind == resources.OverrideThrottle {
		return "throttle to " + config.CPU{Millicores: spec.CeilingMillicores}.String()
	}

	return spec.Kind
}

func sentence(reason string) string {
	if reason == "" {
		return ""
	}

	return ": " + reason
}

// CheckReason tells whether the order's text may stand in the record.
func (o Order) CheckReason() error {
	if len(o.Reason) <= maxReason {
		return nil
	}

	return config.FieldError{Field: "reason", Value: o.Reason[:32] + "...", Allowed: fmt.Sprintf("a text of at most %d bytes", maxReason)}
}
