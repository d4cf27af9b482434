//go:build linux

package controllers

import (
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/pkg/trace"
)

// workload is one decision: it belongs to the workload, not to the container that runs it now.
type workload struct {
	engine      *policy.Engine
	containerID string
	clock       time.Duration
	// decision owns its rules; before is what they were at the step before.
	decision policy.Decision
	before   []policy.RuleStatus
	verdict  *policy.Verdict
	// yielded is the Since of the hold that gave way to somebody else's cpu.max.
	yielded time.Duration
	// reason of the hold that began then.
	reason      string
	reasonSince time.Duration
	reasonUntil time.Duration
	// order is what a person ordered for it.
	order resources.OverrideSpec
	// known tells that it is in the memory.
	known bool
	// unsaid tells that the log does not have the last step yet.
	unsaid bool
	// lostAt is when its container went; 0 while it runs.
	lostAt time.Duration

	// published is what clients know of its rules, ruleIDs the resources that say it, told the verdict they know
	// of, and wanted whether they know of a wanted ceiling.
	published []resources.RuleStatusSpec
	ruleIDs   []string
	told      *policy.Verdict
	wanted    bool
}

// step takes the workload's newest sample.
func (c *PolicyController) step(
	id string, stats *resources.TargetStatsSpec, owner float64, order resources.OverrideSpec, logger *zap.Logger,
) *workload {
	w, ok := c.workloads[id]
	if !ok {
		w = &workload{containerID: stats.ContainerID}

		remembered := c.Remembered[id]
		delete(c.Remembered, id)

		w.yielded = remembered.Yielded
		w.engine = c.newEngine(remembered.SavedState)
		c.workloads[id] = w
	}

	w.lostAt, w.order = 0, order

	if w.containerID != stats.ContainerID {
		w.containerID = stats.ContainerID
		w.engine.Restart()
	}

	if stats.Clock == w.clock {
		return w
	}

	sample := policySample(stats, owner)
	sample.Suspended, sample.Override = order.Suspends(), manual(order)

	c.History.Add(id, stats.ContainerID, sample)

	if c.recorder.wanted() {
		c.recorder.record(&trace.Sample{Workload: id, Container: stats.ContainerID, Sample: sample}, c.about(logger, id))
	}

	// The engine writes over its rules at each step.
	w.before = append(w.before[:0], w.decision.Rules...)
	w.clock = stats.Clock
	w.decision = w.engine.Step(sample)

	if w.decision.Verdict != nil {
		w.verdict = w.decision.Verdict
	}

	// The figures are those of the moment it began.
	if hold := w.decision.Hold; hold.Since != w.reasonSince || hold.Until != w.reasonUntil {
		w.reason, w.reasonSince, w.reasonUntil = reasonOf(w.decision, hold.Rule), hold.Since, hold.Until
	}

	w.unsaid = w.moved()

	return w
}

// about is the logger of what concerns a workload.
func (c *PolicyController) about(logger *zap.Logger, id string) *zap.Logger {
	return logger.With(zap.String("mode", string(c.config.Mode)), zap.String("target", id))
}

// moved tells whether the last step led to something to say.
func (w *workload) moved() bool {
	if w.decision.Event != "" || w.decision.Verdict != nil || len(w.before) != len(w.decision.Rules) {
		return true
	}

	for i := range w.before {
		if w.before[i].State != w.decision.Rules[i].State {
			return true
		}
	}

	return false
}

// giveWay notes that the hold in force gave way, so that it does so after a restart, too. It tells whether that is news.
func (w *workload) giveWay(ceiling resources.CeilingStatusSpec, conflict config.Conflict) bool {
	if conflict != config.ConflictYield || ceiling.State != resources.CeilingYielded || ceiling.SinceClock != w.decision.Hold.Since {
		return false
	}

	news := w.yielded != ceiling.SinceClock
	w.yielded = ceiling.SinceClock

	return news
}

func policySample(stats *resources.TargetStatsSpec, owner float64) policy.Sample {
	return policy.Sample{
		At:            stats.Clock,
		CPU:           policyCounter(stats.CPU, float64(stats.Counters.UsageUsec)/1e6),
		TX:            policyCounter(stats.TXBytesPerSecond, float64(stats.Counters.TXBytes)),
		RX:            policyCounter(stats.RXBytesPerSecond, float64(stats.Counters.RXBytes)),
		Allocation:    policyAllocation(stats.Application),
		Pressure:      policyCounter(stats.CPUPressure, float64(stats.Counters.PressureUsec)/1e6),
		Periods:       stats.Counters.Periods,
		Throttled:     stats.Counters.Throttled,
		ThrottledTime: float64(stats.Counters.ThrottledUsec) / 1e6,
		Owner:         owner,
	}
}

// policyCounter: the policy makes its own rates, so a first reading is not unavailable to it.
func policyCounter(reading resources.Reading, total float64) policy.Counter {
	if reading.Provenance == resources.ProvenanceUnavailable && reading.Reason != warmingUp {
		return policy.Counter{Unavailable: reading.Reason}
	}

	return policy.Counter{Total: total}
}

// policyAllocation is as old as the target's last answer.
func policyAllocation(program resources.ApplicationStats) policy.Counter {
	counter := policyCounter(program.AllocBytesPerSecond, program.Allocated)
	if counter.Unavailable == "" {
		counter.At = program.Clock
	}

	return counter
}

func logDecision(logger *zap.Logger, before []policy.RuleStatus, after policy.Decision) {
	for i, status := range after.Rules {
		if i < len(before) && before[i].State == status.State {
			continue
		}

		if len(before) == 0 && status.State == policy.StateOK {
			continue
		}

		logger.Info("rule", zap.String("rule", status.Rule.Name), zap.String("state", string(status.State)),
			zap.String("value", status.Rule.Signal.Format(status.Value)), zap.String("threshold", status.Rule.Text),
			zap.String("reason", status.Unavailable))
	}

	hold := after.Hold

	switch after.Event {
	case policy.EventTrip, policy.EventRetrip:
		logger.Warn("ceiling wanted", zap.String("event", string(after.Event)), zap.String("rule", hold.Rule),
			zap.Int64("millicores", hold.Millicores), zap.Duration("hold", hold.Until-hold.Since), zap.Bool("observe", hold.Observe))
	case policy.EventStepDown, policy.EventRelax:
		logger.Info("another ceiling wanted", zap.String("event", string(after.Event)), zap.String("rule", hold.Rule),
			zap.Int64("millicores", hold.Millicores))
	case policy.EventProbe:
		logger.Info("ceiling lifted to see what demand is like", zap.String("rule", hold.Rule), zap.Float64("throttled", round(after.ThrottledRatio)))
	case policy.EventRelease:
		logger.Info("ceiling no longer wanted", zap.Float64("throttled", round(after.ThrottledRatio)))
	}

	if v := after.Verdict; v != nil {
		logger.Info("verdict", zap.String("rule", v.Rule), zap.String("outcome", string(v.Outcome)), zap.String("reason", v.Reason),
			zap.Bool("ended", v.Ended), zap.String("before", displayUsage(v.Before)), zap.String("during", displayUsage(v.During)),
			zap.String("after", displayUsage(v.After)))
	}
}

// reasonOf writes down the figures a rule tripped on.
func reasonOf(decision policy.Decision, name string) string {
	for _, status := range decision.Rules {
		if status.Rule.Name != name {
			continue
		}

		value := status.Rule.Signal.Format(status.Value)

		switch {
		case decision.Event == policy.EventRetrip:
			return fmt.Sprintf("the breach goes on without the ceiling (%s)", status.Rule.Text)
		case status.State != policy.StateFiring:
		case status.Rule.Credit.Capacity > 0:
			return fmt.Sprintf("%s %s has used up its credit of %s above %s", status.Rule.Signal, value, status.Rule.Credit.Text, status.Rule.Text)
		case status.Rule.Expression != nil:
			return fmt.Sprintf("%s for %s", status.Rule.Text, status.Rule.For)
		default:
			return fmt.Sprintf("%s %s above %s for %s", status.Rule.Signal, value, status.Rule.Text, status.Rule.For)
		}
	}

	return "taken over from an earlier process"
}

// signalName is the rule's signal, or what it has instead.
func signalName(rule *policy.Rule) string {
	if rule.Expression != nil {
		return "expression"
	}

	return string(rule.Signal)
}
