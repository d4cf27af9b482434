//go:build linux

package controllers

import (
	"context"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/resource"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/pkg/trace"
	"github.com/spegel-guard/spegel-guard/service/internal/decide"
	"github.com/spegel-guard/spegel-guard/service/internal/observe"
	"github.com/spegel-guard/spegel-guard/service/internal/persist"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

// retention is how long a workload without a container is kept for its next one: a restarted container must not start
// with a full credit and an empty back-off.
const retention = time.Hour

// PolicyController decides on the samples and publishes the desired ceilings. Each sample wakes it, and each change of
// a resource that it reads. A sample that changes nothing reads and writes no resource and allocates nothing.
type PolicyController struct {
	// Feed has the samples.
	Feed *observe.Feed
	// State is where decisions are saved, Loaded what an earlier process saved, by workload.
	State  persist.File[persist.Workload]
	Loaded map[resource.ID]persist.Workload
	// Urgent wakes the enforcer when a desired ceiling changed: its watch would take longer. nil for none.
	Urgent func()
	// Seed of the credits; each node has another one.
	Seed uint64
	// History takes the samples, for the API.
	History *record.History

	config    activeConfig
	settings  decide.Settings
	recorder  recorder
	inputs    policyInputs
	workloads workloads
	// latest are the newest samples by target.
	latest    map[resource.ID]*resources.TargetStatsSpec
	startedAt time.Duration
	// clock is CLOCK_BOOTTIME, or a test's.
	clock func() time.Duration
}

// Name implements controller.Controller.
func (*PolicyController) Name() string { return "guard.PolicyController" }

// Inputs implements controller.Controller.
func (*PolicyController) Inputs() []controller.Input {
	return []controller.Input{
		weak(resources.GuardConfigType), weak(resources.CeilingStatusType), weak(resources.ConditionType), weak(resources.OverrideType),
	}
}

// Outputs implements controller.Controller.
func (*PolicyController) Outputs() []controller.Output {
	return []controller.Output{
		{Type: resources.RuleStatusType, Kind: controller.OutputExclusive},
		{Type: resources.DesiredCeilingType, Kind: controller.OutputExclusive},
		{Type: resources.GuardStatusType, Kind: controller.OutputExclusive},
		{Type: resources.VerdictType, Kind: controller.OutputExclusive},
	}
}

// Run implements controller.Controller.
func (c *PolicyController) Run(ctx context.Context, r controller.Runtime, logger *zap.Logger) error {
	c.begin()

	defer c.recorder.close()

	for {
		resourcesChanged := false

		select {
		case <-ctx.Done():
			return nil
		case <-c.Feed.News():
		case <-r.EventCh():
			resourcesChanged = true

			if err := c.refresh(ctx, r); err != nil {
				return unlessStopped(err)
			}
		}

		if err := c.reconcile(ctx, r, resourcesChanged, logger); err != nil {
			return unlessStopped(err)
		}

		r.ResetRestartBackoff()
	}
}

// begin prepares the first Run; a Run after an error continues.
func (c *PolicyController) begin() {
	if c.workloads.known == nil {
		c.workloads = workloads{known: map[resource.ID]*workload{}, loaded: c.Loaded}
		c.latest = map[resource.ID]*resources.TargetStatsSpec{}
		c.startedAt, c.clock = boottime.Now(), boottime.Now
	}
}

// refresh reads the resources.
func (c *PolicyController) refresh(ctx context.Context, r controller.ReaderWriter) error {
	changed, ok, err := c.config.read(ctx, r)
	if err != nil || !ok {
		return err
	}

	if changed {
		if err := c.reconfigure(ctx, r); err != nil {
			c.config.document = "" // it is read and applied again

			return err
		}
	}

	c.inputs, err = readPolicyInputs(ctx, r)

	return err
}

// reconfigure starts every history anew under the new rules; a hold in force stays.
func (c *PolicyController) reconfigure(ctx context.Context, r controller.Writer) error {
	c.settings = decide.Settings{
		Observe: c.config.Mode == config.ModeObserve, FloorMillicores: c.config.Ceiling.Floor.Millicores,
		Yield: c.config.Ceiling.Conflict == config.ConflictYield, Wall: boottime.Wall,
	}

	for _, w := range c.workloads.known {
		if err := w.rules.withdraw(ctx, r); err != nil {
			return err
		}

		w.Replace(c.engine(w.Memory()))
	}

	c.recorder.configure(c.config.Trace, trace.Header{Version: trace.Version, Config: c.config.document, Seed: c.Seed})

	return nil
}

func (c *PolicyController) engine(memory policy.Memory) *policy.Engine {
	return policy.New(c.config.Config, policy.Options{Seed: c.Seed, Memory: memory})
}

// reconcile decides on the newest samples and publishes what changed.
func (c *PolicyController) reconcile(ctx context.Context, r controller.Writer, resourcesChanged bool, logger *zap.Logger) error {
	if c.config.document == "" {
		return nil
	}

	c.Feed.Update(c.latest)

	inForce, expired := c.inputs.active(c.clock())
	status := resourcesChanged || expired || len(inForce) > 0

	for id, stats := range c.latest {
		changed, err := c.decide(ctx, r, id, stats, inForce.of(id), logger)
		if err != nil {
			return err
		}

		status = status || changed
	}

	withdrawn, err := c.withdraw(ctx, r)
	if err != nil || !status && !withdrawn {
		return err
	}

	return publishStatus(ctx, r, c.status(inForce), logger)
}

// decide steps one workload and publishes it. It reports whether the status of the guard may have changed.
func (c *PolicyController) decide(
	ctx context.Context, r controller.Writer, id resource.ID, stats *resources.TargetStatsSpec, override decide.Override, logger *zap.Logger,
) (bool, error) {
	w := c.workloads.get(id, c.engine)
	w.Observe(stats.ContainerID, override)

	if w.Due(stats.Clock) {
		sample := policySample(stats, c.inputs.owners[id], override)
		c.History.Add(id, stats.ContainerID, sample)

		if c.recorder.wanted() {
			c.recorder.record(&trace.Sample{Workload: id, Container: stats.ContainerID, Sample: sample}, c.logger(logger, id))
		}

		w.unlogged = w.Step(sample)
	}

	ceiling := c.inputs.ceilings[id]
	yielded := c.settings.Yield && ceiling.State == resources.CeilingYielded && w.Yield(ceiling.SinceClock)

	// Before it is published, and so before anything acts on it. A journal may be newer than the saved state.
	if yielded || !w.saved || w.Decision().Event != "" {
		w.saved = true

		if err := c.workloads.save(c.State); err != nil {
			c.logger(logger, id).Error("failed to save decisions, a restart starts without them", zap.Error(err))
		}
	}

	urgent, changed, err := w.publish(ctx, r, id, c.settings, c.config.Mode)

	if (urgent || w.Decision().Event != "") && c.Urgent != nil {
		c.Urgent()
	}

	// After it is published: a ceiling does not wait for the log.
	if w.unlogged {
		w.unlogged = false
		logDecision(c.logger(logger, id), w.Before(), w.Decision())
	}

	return changed, err
}

func (c *PolicyController) logger(logger *zap.Logger, id resource.ID) *zap.Logger {
	return logger.With(zap.String("mode", string(c.config.Mode)), zap.String("target", id))
}

// withdraw removes the resources of workloads whose container ended, and after retention the workloads. It reports
// whether there was a resource to remove.
func (c *PolicyController) withdraw(ctx context.Context, r controller.Writer) (bool, error) {
	now, withdrawn := c.clock(), false

	for id, w := range c.workloads.known {
		if _, present := c.latest[id]; present {
			continue
		}

		switch {
		case w.lostAt == 0:
			if err := w.withdraw(ctx, r, id); err != nil {
				return false, err
			}

			w.lostAt, withdrawn = now, true
		case now-w.lostAt > retention:
			delete(c.workloads.known, id)
			c.History.Forget(id)
		}
	}

	if now-c.startedAt > retention {
		c.workloads.loaded = nil
	}

	return withdrawn, nil
}

// status is the one-line answer: the worst target, a pause, and what keeps the guard from working.
func (c *PolicyController) status(inForce overrides) resources.GuardStatusSpec {
	status := worstStatus(c.latest, c.workloads.known, c.inputs.ceilings)

	if pause, ok := inForce[resources.OverridePauseID]; ok {
		status.State, status.Message = resources.StatePaused, pause.Text
	}

	status.Mode, status.Targets = string(c.config.Mode), int64(len(c.latest))

	for i := range c.inputs.conditions {
		applyCondition(&status, &c.inputs.conditions[i])
	}

	return status
}
