// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
	"github.com/spegel-guard/spegel-guard/service/internal/observe"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

// CeilingController lets package enforce follow the desired ceilings. Nothing else writes to a target.
type CeilingController struct {
	// Node is where ceilings are written.
	Node enforce.Node
	// Source opens what evidence is captured from, Feed has the newest answers of the targets.
	Source func(resources.TargetSpec) observe.Source
	Feed   *observe.Feed
	// Lock must be held to write: see enforce.Lock.
	Lock interface{ Acquire() error }
	// Orphans are the ceilings without a target. Something else runs them.
	Orphans *enforce.Orphans
	// Initial configuration, until the active one is read.
	Initial config.Config
	// Leases has the time of the newest decision on each target; nil never releases for want of one.
	Leases *enforce.Leases
	// Active is the configuration in force.
	Active *config.Active
	// Evidence is where evidence is kept; nil captures none.
	Evidence *record.Evidence
	// Log takes what was done.
	Log *record.Actions
	// Reaction observes the time from the sample that a ceiling is due to until it is in force, in seconds.
	Reaction prometheus.Observer

	// wake queues a reconcile; nil while Run does not run.
	wake atomic.Pointer[func()]
	// running is locked while Run runs.
	running sync.Mutex

	config    activeConfig
	inputs    ceilingInputs
	enforcer  enforcer
	condition enforcementCondition
	// unread: the resources could not be read, and the next pass reads them again.
	unread  bool
	failure failure
}

// Name implements controller.Controller.
func (*CeilingController) Name() string { return "guard.CeilingController" }

// Inputs implements controller.Controller.
func (*CeilingController) Inputs() []controller.Input {
	return []controller.Input{weak(resources.GuardConfigType), weak(resources.TargetType), weak(resources.DesiredCeilingType)}
}

// Outputs implements controller.Controller.
func (*CeilingController) Outputs() []controller.Output {
	return []controller.Output{
		{Type: resources.CeilingStatusType, Kind: controller.OutputExclusive},
		{Type: resources.ConditionType, Kind: controller.OutputShared},
	}
}

// Run implements controller.Controller. It leaves the ceilings in force: see Stop.
func (c *CeilingController) Run(ctx context.Context, r controller.Runtime, logger *zap.Logger) error {
	c.running.Lock()
	defer c.running.Unlock()

	c.begin()

	queue := r.QueueReconcile
	c.wake.Store(&queue)

	defer c.wake.Store(nil)

	interval := func() time.Duration {
		// Nothing is desired and nothing in force: the cgroups are checked only.
		if c.inputs.idle() && c.enforcer.ceilings.idle() {
			return max(c.config.Interval.Duration, enforce.CheckInterval)
		}

		return c.config.Interval.Duration
	}

	// A restart by the runtime would take up to 90 s, in which no ceiling is released.
	return every(ctx, r, interval, func(tick bool) error {
		c.failure.log(ctx, logger, c.pass(ctx, r, tick, logger))

		return nil
	})
}

// pass moves the ceilings towards the desired ones, also if the newest of these cannot be read: leases expire, and cpu.max changes.
func (c *CeilingController) pass(ctx context.Context, r controller.Runtime, tick bool, logger *zap.Logger) error {
	var err error

	// Between two changes the resources are the same.
	if !tick || c.unread {
		err = c.refresh(ctx, r)
		c.unread = err != nil
	}

	return errors.Join(err, c.reconcile(ctx, r, logger))
}

// Wake queues a reconcile now. It may be called from any goroutine at any time.
func (c *CeilingController) Wake() {
	if wake := c.wake.Load(); wake != nil {
		(*wake)()
	}
}

// begin prepares the first Run; a Run after a panic continues.
func (c *CeilingController) begin() {
	if c.enforcer.ceilings.byTarget != nil {
		return
	}

	c.config.Config, c.config.Active = c.Initial, c.Active
	c.enforcer = newEnforcer(c)
}

// refresh reads the resources.
func (c *CeilingController) refresh(ctx context.Context, r controller.Reader) error {
	if _, ok, err := c.config.read(ctx, r); err != nil || !ok {
		return err
	}

	inputs, err := readCeilingInputs(ctx, r)
	if err == nil {
		c.inputs = inputs
	}

	return err
}

func (c *CeilingController) reconcile(ctx context.Context, r controller.Runtime, logger *zap.Logger) error {
	if c.config.document == "" {
		return nil
	}

	logger = logger.With(zap.String("mode", string(c.config.Mode)))

	// The hierarchy may have been missing when the service started.
	if err := c.Lock.Acquire(); errors.Is(err, cgroup.ErrNotUnified) {
		return nil // TargetController reports it
	} else if err != nil {
		reason, message := lockReason(err)

		return c.condition.publish(ctx, r, logger, reason, message)
	}

	done, err := c.enforcer.reconcile(ctx, r, c.inputs, c.config.Config, logger)

	// Taken after the ceilings, so that a panic there loses no action. They are sorted because an orphan may be released meanwhile.
	actions := append(actionSpecs(c.Orphans.Actions(), c.config.Mode), done...)
	slices.SortStableFunc(actions, func(a, b resources.GuardActionSpec) int { return cmp.Compare(a.Clock, b.Clock) })

	// Actions are recorded even if a status could not be published. Record also publishes those that it could not publish before.
	err = errors.Join(err, c.Log.Record(ctx, actions...))
	reason, message := enforcementReason(c.enforcer.err(), c.config.Mode)

	return errors.Join(err, c.condition.publish(ctx, r, logger, reason, message))
}

// Stop leaves every ceiling as ceiling.onStop says. It is called after the last Run, however that ended. It returns an error if
// Run has not ended: then nobody knows what it does.
func (c *CeilingController) Stop() error {
	if !c.running.TryLock() {
		return errors.New("the ceilings stay as they are: the enforcer hangs")
	}

	defer c.running.Unlock()

	c.begin()
	c.enforcer.evidence.dropAll()

	for _, action := range actionSpecs(c.enforcer.ceilings.stop(c.config.Ceiling.OnStop == config.StopRelease), c.config.Mode) {
		c.Log.Log(action)
	}

	return nil
}
