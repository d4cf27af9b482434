// SPDX-License-Identifier: MPL-2.0

//go:build linux

package override

import (
	"context"
	"fmt"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// action is the record of an request, or of its end.
func (m *Manager) action(ctx context.Context, kind, id string, request Request, reason string) resources.GuardActionSpec {
	mode := "" // not known yet
	if active, err := m.active(ctx); err == nil {
		mode = active.Mode
	}

	return resources.GuardActionSpec{
		At: time.Now().UTC(), Action: kind, Mode: mode, Target: id, Rule: resources.RuleOverride, Reason: reason, By: request.By,
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

// CheckReason returns a config.FieldError for a reason that is too long.
func (r Request) CheckReason() error {
	if len(r.Reason) <= maxReason {
		return nil
	}

	return config.FieldError{Field: "reason", Value: r.Reason[:32] + "...", Allowed: fmt.Sprintf("a text of at most %d bytes", maxReason)}
}
