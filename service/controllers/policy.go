//go:build linux

package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/safe"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// retention is how long a decision waits for its workload's next container.
const retention = time.Hour

// PolicyController feeds the samples to the decision core and publishes what it decides.
type PolicyController struct {
	// Adopted are holds that an earlier process left in force, by workload.
	Adopted map[string]policy.Hold

	config    config.Config
	document  string
	workloads map[string]*workload
}

// workload is one decision: it belongs to the workload, not to the container that runs it now.
type workload struct {
	engine      *policy.Engine
	containerID string
	clock       time.Duration
	decision    policy.Decision
	// lostAt is when its container went; 0 while it runs.
	lostAt time.Duration
}

// Name implements controller.Controller.
func (*PolicyController) Name() string { return "guard.PolicyController" }

// Inputs implements controller.Controller.
func (*PolicyController) Inputs() []controller.Input {
	return []controller.Input{
		weak(resources.GuardConfigType), weak(resources.TargetType), weak(resources.TargetStatsType),
		weak(resources.CeilingStatusType), weak(resources.ConditionType),
	}
}

// Outputs implements controller.Controller.
func (*PolicyController) Outputs() []controller.Output {
	return []controller.Output{
		{Type: resources.RuleStatusType, Kind: controller.OutputExclusive},
		{Type: resources.CeilingSpecType, Kind: controller.OutputExclusive},
		{Type: resources.GuardStatusType, Kind: controller.OutputExclusive},
	}
}

// Run implements controller.Controller.
func (c *PolicyController) Run(ctx context.Context, r controller.Runtime, logger *zap.Logger) error {
	if c.workloads == nil {
		c.workloads = map[string]*workload{}
	}

	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.EventCh():
		}

		if err := c.reconcile(ctx, r, logger); err != nil {
			if errors.Is(err, context.Canceled) {
				return nil // the service stops
			}

			return err
		}

		r.ResetRestartBackoff()
	}
}

func (c *PolicyController) reconcile(ctx context.Context, r controller.Runtime, logger *zap.Logger) error {
	cfg, document, ok, err := activeConfig(ctx, r)
	if err != nil || !ok {
		return err
	}

	if document != c.document {
		c.reconfigure(cfg, document)
	}

	logger = logger.With(zap.String("mode", string(cfg.Mode)))

	stats, err := safe.ReaderListAll[*resources.TargetStats](ctx, r)
	if err != nil {
		return fmt.Errorf("error listing target stats: %w", err)
	}

	r.StartTrackingOutputs()

	present := map[string]bool{}

	for s := range stats.All() {
		id := s.Metadata().ID()
		present[id] = true

		w := c.step(id, *s.TypedSpec(), logger)

		if err := c.publish(ctx, r, id, w); err != nil {
			return err
		}
	}

	c.forget(present)

	if err := c.publishStatus(ctx, r, present, logger); err != nil {
		return err
	}

	if err := safe.CleanupOutputs[*resources.RuleStatus](ctx, r); err != nil {
		return fmt.Errorf("error removing outdated rules: %w", err)
	}

	return nil
}

// reconfigure starts every history anew under the new rules; a hold in force stays.
func (c *PolicyController) reconfigure(cfg config.Config, document string) {
	c.config, c.document = cfg, document

	for _, w := range c.workloads {
		w.engine = policy.New(cfg, w.decision.Hold)
		w.clock = 0
	}
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

		w.engine = policy.New(c.config, w.decision.Hold)
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

func (c *PolicyController) publish(ctx context.Context, r controller.Runtime, id string, w *workload) error {
	for _, status := range w.decision.Rules {
		err := safe.WriterModify(ctx, r, resources.NewRuleStatus(id+"/"+status.Rule.Name), func(res *resources.RuleStatus) error {
			spec := res.TypedSpec()

			if spec.State != string(status.State) {
				spec.State, spec.Since = string(status.State), wallTime(status.Since)
			}

			spec.Signal, spec.Value, spec.Threshold = string(status.Rule.Signal), status.Value, status.Rule.Threshold.Value
			spec.TripsIn, spec.Reason = status.TripsIn, status.Blind

			return nil
		})
		if err != nil {
			return fmt.Errorf("error publishing rule %s of %s: %w", status.Rule.Name, id, err)
		}
	}

	hold := w.decision.Hold
	if hold == nil {
		if err := ignoreNotFound(r.Destroy(ctx, resources.NewCeilingSpec(id).Metadata())); err != nil {
			return fmt.Errorf("error removing the wanted ceiling of %s: %w", id, err)
		}

		return nil
	}

	err := safe.WriterModify(ctx, r, resources.NewCeilingSpec(id), func(res *resources.CeilingSpec) error {
		spec := res.TypedSpec()

		if spec.SinceClock != hold.Since || spec.HoldUntilClock != hold.Until {
			spec.Since, spec.HoldUntil = wallTime(hold.Since), wallTime(hold.Until)
			spec.Reason = reasonOf(w.decision, hold.Rule)
		}

		spec.Mode = string(c.config.Mode)
		spec.CeilingMillicores, spec.FloorMillicores = c.config.Ceiling.CPU.Millicores, c.config.Ceiling.Floor.Millicores
		spec.Rule = hold.Rule
		spec.SinceClock, spec.HoldUntilClock = hold.Since, hold.Until

		return nil
	})
	if err != nil {
		return fmt.Errorf("error publishing the wanted ceiling of %s: %w", id, err)
	}

	return nil
}

// reasonOf writes down the figures a rule tripped on.
func reasonOf(decision policy.Decision, name string) string {
	var parts []string

	for _, status := range decision.Rules {
		if status.Rule.Name == name {
			parts = append(parts, fmt.Sprintf("%s %s above %s for %s", status.Rule.Signal,
				display(status.Rule.Signal, status.Value), status.Rule.Threshold, status.Rule.For))
		}
	}

	if len(parts) == 0 {
		return "taken over from an earlier process"
	}

	return strings.Join(parts, "; ")
}

// forget drops workloads that are gone: at once without a hold, after a while with one, because a
// restarted container must not run free.
func (c *PolicyController) forget(present map[string]bool) {
	now := Clock()

	for id, w := range c.workloads {
		switch {
		case present[id]:
		case w.decision.Hold == nil:
			delete(c.workloads, id)
		case w.lostAt == 0:
			w.lostAt = now
		case now-w.lostAt > retention:
			delete(c.workloads, id)
		}
	}
}
