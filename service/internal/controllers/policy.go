// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"errors"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/resource"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/internal/task"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
	"github.com/spegel-guard/spegel-guard/service/internal/observe"
	"github.com/spegel-guard/spegel-guard/service/internal/persist"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

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
	// Leases takes the time of each decision; nil takes none.
	Leases *enforce.Leases
	// Active is the configuration in force.
	Active *config.Active

	config  activeConfig
	inputs  policyInputs
	decider decider
	// latest are the newest samples by target.
	latest map[resource.ID]*resources.TargetStatsSpec
	// behind: the last pass failed. The next one reads the resources again and publishes the status.
	behind  bool
	failure failure
	// clock is CLOCK_BOOTTIME, or the clock of a test.
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

	defer c.decider.recorder.Close()

	for {
		resourcesChanged := false

		select {
		case <-ctx.Done():
			return nil
		case <-c.Feed.News():
		case <-r.EventCh():
			resourcesChanged = true
		}

		// A restart by the runtime would take up to 90 s, and without decisions all ceilings end earlier.
		c.failure.log(ctx, logger, c.pass(ctx, r, resourcesChanged, logger))
		r.ResetRestartBackoff()
	}
}

// pass decides on the newest samples, also if the newest resources cannot be read.
func (c *PolicyController) pass(ctx context.Context, r controller.ReaderWriter, resourcesChanged bool, logger *zap.Logger) error {
	var err error

	if resourcesChanged = resourcesChanged || c.behind; resourcesChanged {
		err = c.refresh(ctx, r)
	}

	err = errors.Join(err, c.reconcile(ctx, r, resourcesChanged, logger))
	c.behind = err != nil

	return err
}

// begin prepares the first Run; a Run after a panic continues.
func (c *PolicyController) begin() {
	c.config.Active = c.Active

	if c.latest == nil {
		if c.clock == nil {
			c.clock = boottime.Now
		}

		c.decider = decider{state: c.State, seed: c.Seed, history: c.History, leases: c.Leases, urgent: c.Urgent}
		c.decider.workloads = newWorkloads(c.Loaded, c.clock())
		c.latest = map[resource.ID]*resources.TargetStatsSpec{}
	}
}

// refresh reads the resources.
func (c *PolicyController) refresh(ctx context.Context, r controller.ReaderWriter) error {
	changed, ok, err := c.config.read(ctx, r)
	if err != nil || !ok {
		return err
	}

	if changed {
		c.decider.configure(c.config.Config, c.config.document)
	}

	inputs, err := readPolicyInputs(ctx, r)
	if err == nil {
		c.inputs = inputs
	}

	return err
}

// reconcile decides on the newest samples and publishes what changed.
func (c *PolicyController) reconcile(ctx context.Context, r controller.Writer, resourcesChanged bool, logger *zap.Logger) error {
	if c.config.document == "" {
		return nil
	}

	c.Feed.Update(c.latest)

	inForce, expired := c.inputs.active(c.clock())
	status := resourcesChanged || expired || len(inForce) > 0

	var errs error

	for id, stats := range c.latest {
		ceiling, overrides := c.inputs.ceilings[id], inForce.of(id)

		// A panic ends the decision on this target only.
		err := task.Step("decide on a target", func() error {
			changed, err := c.decider.decide(ctx, r, id, stats, &ceiling, &overrides, logger)
			status = status || changed

			return err
		})
		errs = errors.Join(errs, err)
	}

	c.decider.save(logger)

	withdrawn, err := c.decider.workloads.withdraw(ctx, r, c.latest, c.clock(), c.History.Forget)
	errs = errors.Join(errs, err)

	if status || withdrawn {
		err = publishStatus(ctx, r, guardStatus(c.latest, c.decider.workloads.known, c.inputs, inForce, c.config.Mode), logger)
		errs = errors.Join(errs, err)
	}

	return errs
}
