//go:build linux

package controllers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/safe"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// CeilingController is the only place that writes to a target.
type CeilingController struct {
	Paths Paths
	// BootID of this boot.
	BootID string

	config   activeConfig
	ceilings map[string]*ceiling
	sequence uint64
	// orphans are ceilings without a target: an earlier process's that wait for theirs to show up, and
	// such as could not be taken back when their target went.
	orphans map[string]*ceiling
}

// Name implements controller.Controller.
func (*CeilingController) Name() string { return "guard.CeilingController" }

// Inputs implements controller.Controller.
func (*CeilingController) Inputs() []controller.Input {
	return []controller.Input{weak(resources.GuardConfigType), weak(resources.TargetType), weak(resources.CeilingSpecType)}
}

// Outputs implements controller.Controller.
func (*CeilingController) Outputs() []controller.Output {
	return []controller.Output{
		{Type: resources.CeilingStatusType, Kind: controller.OutputExclusive},
		{Type: resources.GuardActionType, Kind: controller.OutputExclusive},
		{Type: resources.ConditionType, Kind: controller.OutputShared},
	}
}

// Run implements controller.Controller. When the context ends it leaves the ceilings as onStop says.
func (c *CeilingController) Run(ctx context.Context, r controller.Runtime, logger *zap.Logger) error {
	if c.ceilings == nil {
		c.ceilings = map[string]*ceiling{}
		c.config.Config = config.Default()
	}

	if c.orphans == nil {
		c.orphans = map[string]*ceiling{}
	}

	interval := func() time.Duration { return c.config.Interval.Duration }

	err := every(ctx, r, interval, func(bool) error { return c.reconcile(ctx, r, logger) })

	// An error restarts the controller; only the end of the process is a stop.
	if ctx.Err() != nil {
		c.stop(logger)
	}

	return err
}

func (c *CeilingController) reconcile(ctx context.Context, r controller.Runtime, logger *zap.Logger) error {
	if _, ok, err := c.config.read(ctx, r); err != nil || !ok {
		return err
	}

	logger = logger.With(zap.String("mode", string(c.config.Mode)))

	targets, err := safe.ReaderListAll[*resources.Target](ctx, r)
	if err != nil {
		return fmt.Errorf("error listing targets: %w", err)
	}

	specs, err := safe.ReaderListAll[*resources.CeilingSpec](ctx, r)
	if err != nil {
		return fmt.Errorf("error listing wanted ceilings: %w", err)
	}

	wanted := map[string]*resources.CeilingSpecSpec{}

	for spec := range specs.All() {
		wanted[spec.Metadata().ID()] = spec.TypedSpec()
	}

	present := map[string]bool{}

	var actions []resources.GuardActionSpec

	r.StartTrackingOutputs()

	for target := range targets.All() {
		id := target.Metadata().ID()
		present[id] = true

		ceiling, replaced := c.ceilingOf(id, *target.TypedSpec())
		actions = append(actions, replaced...)
		actions = append(actions, ceiling.reconcile(wanted[id], Clock())...)

		if err := publishCeiling(ctx, r, id, ceiling); err != nil {
			return err
		}
	}

	for id, ceiling := range c.ceilings {
		if !present[id] {
			// The container is gone, and with it its cgroup; if only the process is, the ceiling is lifted.
			actions = append(actions, c.abandon(ceiling, "target gone")...)
			delete(c.ceilings, id)
		}
	}

	actions = append(actions, c.reconcileOrphans(Clock())...)

	if err := c.record(ctx, r, actions, logger); err != nil {
		return err
	}

	if err := safe.CleanupOutputs[*resources.CeilingStatus](ctx, r); err != nil {
		return fmt.Errorf("error removing outdated ceilings: %w", err)
	}

	return c.reportCondition(ctx, r, logger)
}

// ceilingOf returns the target's ceiling, a new one for a new container, and what taking back the old one's did.
func (c *CeilingController) ceilingOf(id string, target resources.TargetSpec) (*ceiling, []resources.GuardActionSpec) {
	var actions []resources.GuardActionSpec

	if known, ok := c.ceilings[id]; ok {
		if known.target.ContainerID == target.ContainerID {
			return known, nil
		}

		actions = c.abandon(known, "container replaced")
	}

	created := newCeiling(c.Paths, c.BootID, id, target)

	if orphan, ok := c.orphans[target.Cgroup]; ok {
		created.adopt(orphan)
		delete(c.orphans, target.Cgroup)
	}

	c.ceilings[id] = created

	return created, actions
}

// abandon takes a ceiling back for good. One that cannot be taken back now is kept and tried again.
func (c *CeilingController) abandon(gone *ceiling, reason string) []resources.GuardActionSpec {
	actions := gone.lift(resources.ActionRelease, reason)

	if gone.journal != nil {
		c.orphans[gone.target.Cgroup] = gone
	} else {
		gone.close()
	}

	return actions
}

func publishCeiling(ctx context.Context, r controller.Runtime, id string, ceiling *ceiling) error {
	if ceiling.status.State == "" {
		return nil
	}

	err := safe.WriterModify(ctx, r, resources.NewCeilingStatus(id), func(s *resources.CeilingStatus) error {
		*s.TypedSpec() = ceiling.status

		return nil
	})
	if err != nil {
		return fmt.Errorf("error publishing the ceiling of %s: %w", id, err)
	}

	return nil
}

// record publishes what was done and logs it, one line each; only the newest actions are kept.
func (c *CeilingController) record(ctx context.Context, r controller.Runtime, actions []resources.GuardActionSpec, logger *zap.Logger) error {
	for _, action := range actions {
		action.At, action.Mode = time.Now().UTC(), string(c.config.Mode)

		logger.Info("action", zap.String("action", action.Action), zap.String("target", action.Target),
			zap.String("rule", action.Rule), zap.String("reason", action.Reason),
			zap.String("before", action.Before), zap.String("after", action.After), zap.String("error", action.Error))

		c.sequence++

		err := safe.WriterModify(ctx, r, resources.NewGuardAction(actionID(c.sequence)), func(a *resources.GuardAction) error {
			*a.TypedSpec() = action

			return nil
		})
		if err != nil {
			return fmt.Errorf("error publishing an action: %w", err)
		}

		if c.sequence > resources.MaxGuardActions {
			outdated := resources.NewGuardAction(actionID(c.sequence - resources.MaxGuardActions)).Metadata()

			if err := ignoreNotFound(r.Destroy(ctx, outdated)); err != nil {
				return fmt.Errorf("error removing an outdated action: %w", err)
			}
		}
	}

	return nil
}

func actionID(sequence uint64) string {
	id := strconv.FormatUint(sequence, 10)

	// Leading zeros keep lists in order.
	return ("000000" + id)[min(len(id), 6):]
}

func (c *CeilingController) reportCondition(ctx context.Context, r controller.Runtime, logger *zap.Logger) error {
	reason, message := resources.ReasonOK, ""

	for _, ceiling := range c.ceilings {
		if ceiling.err == nil || c.config.Mode == config.ModeObserve {
			continue
		}

		reason, message = resources.ReasonWriteError, ceiling.err.Error()

		if cgroup.IsNotPermitted(ceiling.err) {
			reason = resources.ReasonNotPermitted
			message += ": only observing; the service needs /sys/fs/cgroup mounted writable, and SELinux must allow it"
		}
	}

	changed, err := setCondition(ctx, r, resources.ConditionEnforcement, reason, message)
	if changed {
		logger.Info("enforcement", zap.String("reason", reason), zap.String("message", message))
	}

	return err
}

// stop leaves every ceiling as the configuration wants it after the service's end.
func (c *CeilingController) stop(logger *zap.Logger) {
	left := slices.AppendSeq(slices.Collect(maps.Values(c.ceilings)), maps.Values(c.orphans))

	for _, ceiling := range left {
		if c.config.Ceiling.OnStop == config.StopRelease {
			for _, action := range ceiling.lift(resources.ActionRelease, "service stopped") {
				logger.Info("action", zap.String("mode", string(c.config.Mode)), zap.String("action", action.Action),
					zap.String("target", action.Target), zap.String("reason", action.Reason), zap.String("before", action.Before), zap.String("after", action.After),
					zap.String("error", action.Error))
			}
		}

		ceiling.close()
	}
}
