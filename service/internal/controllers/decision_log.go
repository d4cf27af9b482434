// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"fmt"

	"github.com/cosi-project/runtime/pkg/resource"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/duration"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/service/internal/observe"
)

// logDecision logs what changed from the rules before to a decision; reason is that of the hold, or of its end.
func logDecision(logger *zap.Logger, before []policy.RuleStatus, after *policy.Decision, reason string) {
	for i, status := range after.Rules {
		if i < len(before) && before[i].State == status.State || len(before) == 0 && status.State == policy.StateOK {
			continue
		}

		logger.Info("rule state changed", zap.String("rule", status.Rule.Name), zap.String("state", string(status.State)),
			zap.String("value", status.Rule.Signal.Format(status.Value)), zap.String("threshold", status.Rule.Text),
			zap.String("reason", status.Unavailable))
	}

	hold := after.Hold

	switch after.Event {
	case policy.EventTrip, policy.EventRetrip:
		logger.Warn("ceiling requested", zap.String("event", string(after.Event)), zap.String("rule", hold.Rule),
			zap.String("reason", reason),
			zap.Int64("millicores", hold.Millicores), zap.Duration("hold", hold.Until-hold.Since), zap.Bool("observe", hold.Observe))
	case policy.EventStepDown, policy.EventRelax:
		logger.Info("another ceiling requested", zap.String("event", string(after.Event)), zap.String("rule", hold.Rule),
			zap.Int64("millicores", hold.Millicores))
	case policy.EventProbe:
		logger.Info("probe started", zap.String("rule", hold.Rule), zap.Float64("throttledRatio", observe.Round(after.ThrottledRatio)))
	case policy.EventRelease:
		logger.Info("ceiling no longer requested", zap.String("reason", reason), zap.Float64("throttledRatio", observe.Round(after.ThrottledRatio)))
	}

	if v := after.Verdict; v != nil {
		logger.Info("ceiling judged", zap.String("rule", v.Rule), zap.String("outcome", string(v.Outcome)), zap.String("reason", v.Reason),
			zap.Int("failedProbes", v.FailedProbes), zap.String("before", usageText(v.Before)), zap.String("during", usageText(v.During)),
			zap.String("after", usageText(v.After)))
	}
}

func usageText(u policy.Usage) string {
	if u.Over <= 0 {
		return "-"
	}

	return fmt.Sprintf("%s and %s TX over %s", config.SignalCPU.Format(u.Cores()),
		config.SignalNetworkTX.Format(u.TXPerSecond()), duration.Format(u.Over))
}

// targetLogger returns a logger for what concerns a target.
func targetLogger(logger *zap.Logger, mode config.Mode, id resource.ID) *zap.Logger {
	return logger.With(zap.String("mode", string(mode)), zap.String("target", id))
}
