//go:build linux

package controllers

import (
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// workload is one decision: it belongs to the workload, not to the container that runs it now.
type workload struct {
	engine      *policy.Engine
	containerID string
	clock       time.Duration
	decision    policy.Decision
	// lostAt is when its container went; 0 while it runs.
	lostAt time.Duration
}

// step takes the workload's newest sample.
func (c *PolicyController) step(id string, stats resources.TargetStatsSpec, logger *zap.Logger) *workload {
	logger = logger.With(zap.String("target", id))

	w, ok := c.workloads[id]
	if !ok {
		w = &workload{containerID: stats.ContainerID}

		if hold, ok := c.Adopted[id]; ok {
			w.decision.Hold = &hold

			delete(c.Adopted, id)
		}

		w.engine = policy.New(c.config.Config, w.decision.Hold)
		c.workloads[id] = w
	}

	w.lostAt = 0

	if w.containerID != stats.ContainerID {
		w.containerID = stats.ContainerID
		w.engine.Restart()
	}

	if stats.Clock == w.clock {
		return w
	}

	before := w.decision
	w.clock = stats.Clock
	w.decision = w.engine.Step(policySample(stats))

	logDecision(logger, before, w.decision)

	return w
}

func policySample(stats resources.TargetStatsSpec) policy.Sample {
	return policy.Sample{
		At:        stats.Clock,
		CPU:       policyCounter(stats.CPU, float64(stats.Counters.UsageUsec)/1e6),
		TX:        policyCounter(stats.TXBytesPerSecond, float64(stats.Counters.TXBytes)),
		Periods:   stats.Counters.Periods,
		Throttled: stats.Counters.Throttled,
	}
}

// policyCounter: the policy makes its own rates, so a first reading is not blind to it.
func policyCounter(reading resources.Reading, total float64) policy.Counter {
	if reading.Provenance == resources.Blind && reading.Reason != warmingUp {
		return policy.Counter{Blind: reading.Reason}
	}

	return policy.Counter{Total: total}
}

func logDecision(logger *zap.Logger, before, after policy.Decision) {
	for i, status := range after.Rules {
		if i < len(before.Rules) && before.Rules[i].State == status.State {
			continue
		}

		if len(before.Rules) == 0 && status.State == policy.StateOK {
			continue
		}

		logger.Info("rule", zap.String("rule", status.Rule.Name), zap.String("state", string(status.State)),
			zap.String("value", display(status.Rule.Signal, status.Value)), zap.Stringer("threshold", status.Rule.Threshold),
			zap.String("reason", status.Blind))
	}

	switch {
	case after.Tripped:
		logger.Warn("ceiling wanted", zap.String("rule", after.Hold.Rule), zap.Duration("hold", after.Hold.Until-after.Hold.Since))
	case after.Released:
		logger.Info("ceiling no longer wanted", zap.Float64("pressure", after.Pressure))
	}
}

// reasonOf writes down the figures a rule tripped on.
func reasonOf(decision policy.Decision, name string) string {
	for _, status := range decision.Rules {
		if status.Rule.Name == name && status.State == policy.StateFiring {
			return fmt.Sprintf("%s %s above %s for %s", status.Rule.Signal,
				display(status.Rule.Signal, status.Value), status.Rule.Threshold, status.Rule.For)
		}
	}

	return "taken over from an earlier process"
}
