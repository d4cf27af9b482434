//go:build linux

package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/safe"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/pkg/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/pkg/trace"
	"github.com/spegel-guard/spegel-guard/service/history"
	"github.com/spegel-guard/spegel-guard/service/memory"
)

// retention is how long what is known of a workload waits for its next container.
const retention = time.Hour

// PolicyController feeds the samples to the decision core and publishes what it decides.
type PolicyController struct {
	// Memory keeps the decisions over the guard's restarts.
	Memory memory.File[memory.Workload]
	// Remembered of an earlier process, by workload; each is taken up when its workload is seen.
	Remembered map[string]memory.Workload
	// Seed of the credits, another one on each node.
	Seed uint64
	// History takes the samples, for the API.
	History *history.Store

	config    activeConfig
	recorder  recorder
	workloads map[string]*workload
	// written is what Memory holds, and startedAt when this process began.
	written   map[string]memory.Workload
	startedAt time.Duration
}

// Name implements controller.Controller.
func (*PolicyController) Name() string { return "guard.PolicyController" }

// Inputs implements controller.Controller.
func (*PolicyController) Inputs() []controller.Input {
	return []controller.Input{
		weak(resources.GuardConfigType), weak(resources.TargetType), weak(resources.TargetStatsType),
		weak(resources.CeilingStatusType), weak(resources.ConditionType), weak(resources.OverrideType),
	}
}

// Outputs implements controller.Controller.
func (*PolicyController) Outputs() []controller.Output {
	return []controller.Output{
		{Type: resources.RuleStatusType, Kind: controller.OutputExclusive},
		{Type: resources.CeilingSpecType, Kind: controller.OutputExclusive},
		{Type: resources.GuardStatusType, Kind: controller.OutputExclusive},
		{Type: resources.VerdictType, Kind: controller.OutputExclusive},
	}
}

// Run implements controller.Controller.
func (c *PolicyController) Run(ctx context.Context, r controller.Runtime, logger *zap.Logger) error {
	if c.workloads == nil {
		c.workloads, c.startedAt = map[string]*workload{}, boottime.Now()
	}

	defer c.recorder.close()

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
	changed, ok, err := c.config.read(ctx, r)
	if err != nil || !ok {
		return err
	}

	if changed {
		c.reconfigure()
	}

	logger = logger.With(zap.String("mode", string(c.config.Mode)))

	stats, err := safe.ReaderListAll[*resources.TargetStats](ctx, r)
	if err != nil {
		return fmt.Errorf("error listing target stats: %w", err)
	}

	ceilings, err := safe.ReaderListAll[*resources.CeilingStatus](ctx, r)
	if err != nil {
		return fmt.Errorf("error listing ceilings: %w", err)
	}

	applied := map[string]resources.CeilingStatusSpec{}

	for ceiling := range ceilings.All() {
		applied[ceiling.Metadata().ID()] = *ceiling.TypedSpec()
	}

	orders, err := readOrders(ctx, r, boottime.Now())
	if err != nil {
		return err
	}

	r.StartTrackingOutputs()

	present := map[string]bool{}

	for s := range stats.All() {
		id := s.Metadata().ID()
		present[id] = true

		w := c.step(id, *s.TypedSpec(), cgroup.Cores(applied[id].Original), orders.of(id), logger)
		gaveWay := w.giveWay(applied[id], c.config.Ceiling.Conflict)

		// Before it is published, and so before anything is done about it. What a journal told of a workload
		// is news to the memory.
		if gaveWay || !w.known || w.decision.Event != "" {
			w.known = true
			c.remember(logger)
		}

		if err := c.publish(ctx, r, id, w); err != nil {
			return err
		}
	}

	c.forget(present)

	if err := withdraw(ctx, r, present); err != nil {
		return err
	}

	if err := c.publishStatus(ctx, r, present, applied, orders, logger); err != nil {
		return err
	}

	// Both at once: the first call ends the tracking.
	if err := r.CleanupOutputs(ctx, resources.NewRuleStatus("").Metadata(), resources.NewVerdict("").Metadata()); err != nil {
		return fmt.Errorf("error removing outdated rules and verdicts: %w", err)
	}

	return nil
}

// reconfigure starts every history anew under the new rules; a hold in force stays.
func (c *PolicyController) reconfigure() {
	for _, w := range c.workloads {
		w.engine = c.newEngine(w.engine.Memory())
		w.clock = 0
	}

	c.recorder.configure(c.config.Trace, trace.Header{Version: trace.Version, Config: c.config.document, Seed: c.Seed})
}

func (c *PolicyController) newEngine(memory policy.Memory) *policy.Engine {
	return policy.New(c.config.Config, policy.Options{Seed: c.Seed, Memory: memory})
}

// remember writes down what the next process is to know, when it is not what the file says already.
func (c *PolicyController) remember(logger *zap.Logger) {
	known := maps.Clone(c.Remembered)
	if known == nil {
		known = map[string]memory.Workload{}
	}

	for id, w := range c.workloads {
		known[id] = memory.Workload{Memory: w.engine.Memory(), Yielded: w.yielded}
	}

	if maps.Equal(known, c.written) {
		return
	}

	// Without it a restart knows less; guarding goes on.
	if err := c.Memory.Save(known); err != nil {
		logger.Error("decisions are not remembered over a restart", zap.Error(err))
	}

	c.written = known
}

func (c *PolicyController) publish(ctx context.Context, r controller.Runtime, id string, w *workload) error {
	for _, status := range w.decision.Rules {
		err := safe.WriterModify(ctx, r, resources.NewRuleStatus(id+"/"+status.Rule.Name), func(res *resources.RuleStatus) error {
			spec := res.TypedSpec()

			if spec.State != string(status.State) {
				spec.State, spec.Since = string(status.State), boottime.Wall(status.Since)
			}

			spec.Signal, spec.Value, spec.Threshold = signalName(status.Rule), round(status.Value), status.Rule.Limit()
			spec.TripsIn, spec.Reason = status.TripsIn, status.Blind
			spec.Credit, spec.Mode = round(status.Credit), string(cmp.Or(status.Rule.Mode, c.config.Mode))

			return nil
		})
		if err != nil {
			return fmt.Errorf("error publishing rule %s of %s: %w", status.Rule.Name, id, err)
		}
	}

	if err := publishVerdict(ctx, r, id, w.verdict); err != nil {
		return err
	}

	return c.publishWanted(ctx, r, id, w)
}

// withdraw removes the wanted ceilings of targets that are gone: there is nothing to act on.
func withdraw(ctx context.Context, r controller.Runtime, present map[string]bool) error {
	specs, err := safe.ReaderListAll[*resources.CeilingSpec](ctx, r)
	if err != nil {
		return fmt.Errorf("error listing wanted ceilings: %w", err)
	}

	for spec := range specs.All() {
		if present[spec.Metadata().ID()] {
			continue
		}

		if err := ignoreNotFound(r.Destroy(ctx, spec.Metadata())); err != nil {
			return fmt.Errorf("error removing the wanted ceiling of %s: %w", spec.Metadata().ID(), err)
		}
	}

	return nil
}

// forget drops workloads that have been gone for a while. Not at once, because a restarted container
// must not run free, nor with new credit and an empty back-off.
func (c *PolicyController) forget(present map[string]bool) {
	now := boottime.Now()

	for id, w := range c.workloads {
		switch {
		case present[id]:
		case w.lostAt == 0:
			w.lostAt = now
		case now-w.lostAt > retention:
			delete(c.workloads, id)
			c.History.Forget(id)
		}
	}

	if now-c.startedAt > retention {
		c.Remembered = nil
	}
}
