// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"fmt"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/safe"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/internal/task"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/discover"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// discoverInterval is the longest time until the first container is found without an event stream, and until an ended one is
// noticed where the cgroup does not report it. A request costs the runtime a few milliseconds, so it is not made at each sample.
const discoverInterval = 2 * time.Second

// confirmInterval is how often the sources are asked while the event stream is up. machined answers with every container
// of the node, which costs it much more than an event.
const confirmInterval = 30 * time.Second

// unwatchedInterval is how often the sources are asked without an event stream while a target is known. Its end is noticed
// earlier. Reading procfs for one that has come beside it costs as much as everything else that the guard does.
const unwatchedInterval = 10 * time.Second

// TargetController finds the containers to guard.
type TargetController struct {
	Node TargetNode
	// Sources in order of preference. One that cannot answer is skipped.
	Sources []discover.Source
	// Events of the container runtime; nil asks at each interval.
	Events EventSource
	// Active is the configuration in force.
	Active *config.Active

	config    activeConfig
	discovery discovery
	// asked is when the sources were asked last; 0 before.
	asked time.Duration
	watch watch
	ends  *ends
}

// Name implements controller.Controller.
func (*TargetController) Name() string { return "guard.TargetController" }

// Inputs implements controller.Controller.
func (*TargetController) Inputs() []controller.Input {
	return []controller.Input{weak(resources.GuardConfigType)}
}

// Outputs implements controller.Controller.
func (*TargetController) Outputs() []controller.Output {
	return []controller.Output{
		{Type: resources.TargetType, Kind: controller.OutputExclusive},
		{Type: resources.ConditionType, Kind: controller.OutputShared},
	}
}

// Run implements controller.Controller.
func (c *TargetController) Run(ctx context.Context, r controller.Runtime, logger *zap.Logger) error {
	c.discovery.node, c.discovery.sources = c.Node, c.Sources
	c.config.Active = c.Active

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	if c.Events != nil {
		go task.Do("watch the container runtime", func() { c.watch.run(ctx, c.Events, r.QueueReconcile) })
	}

	c.ends = &ends{await: c.Node.AwaitEnd, wake: r.QueueReconcile}

	return every(ctx, r, c.interval, func(tick bool) error {
		err := c.reconcile(ctx, r, tick, logger)
		c.ends.follow(ctx, c.discovery.known)

		return err
	})
}

// interval returns the time between two looks at the targets. An event, or the end of one, wakes the controller earlier.
func (c *TargetController) interval() time.Duration {
	// Only procfs is read: the sources are asked when due.
	if !c.ends.followed() {
		return discoverInterval
	}

	return c.askInterval()
}

// askInterval returns how long an answer of the sources counts without an event.
func (c *TargetController) askInterval() time.Duration {
	switch {
	case c.watch.up.Load():
		return confirmInterval
	case len(c.discovery.known) == 0:
		return discoverInterval
	default:
		return unwatchedInterval
	}
}

func (c *TargetController) reconcile(ctx context.Context, r controller.Runtime, tick bool, logger *zap.Logger) error {
	changed, ok, err := c.config.read(ctx, r)
	if err != nil || !ok {
		return err
	}

	selector := selectorOf(c.config.Target)

	pending := c.watch.take(selector)
	if pending = c.ends.take() || pending; !changed && !pending && !c.due(boottime.Now(), tick) {
		return nil
	}

	c.asked = boottime.Now()

	skipped := c.discovery.skipped
	found, reason, message := c.discovery.find(ctx, c.config.Target)

	// The condition names them only if there is no target.
	if c.discovery.skipped != skipped && c.discovery.skipped != "" {
		logger.Warn("selected containers cannot be guarded", zap.String("mode", string(c.config.Mode)), zap.String("error", c.discovery.skipped))
	}

	if err := c.publish(ctx, r, logger, string(c.config.Mode), found); err != nil {
		return err
	}

	changed, err = setCondition(ctx, r, resources.ConditionDiscovery, reason, message)
	if changed {
		logger.Info("discovery condition changed", zap.String("mode", string(c.config.Mode)), zap.String("reason", reason), zap.String("message", message),
			zap.Int("targets", len(found)))
	}

	return err
}

// due reports whether the sources should be asked without an event: one may be missed, or none may come.
func (c *TargetController) due(now time.Duration, tick bool) bool {
	// With a followed end the tick after this one is a whole interval later, also if an event has caused an answer since the last one.
	return c.asked == 0 || c.discovery.ended() || tick && c.ends.followed() || boottime.Due(now-c.asked, c.askInterval())
}

// publish makes the Target resources those that were found.
func (c *TargetController) publish(
	ctx context.Context, r controller.Runtime, logger *zap.Logger, mode string, found map[string]resources.TargetSpec,
) error {
	r.StartTrackingOutputs()

	for id, spec := range found {
		if old, ok := c.discovery.known[id]; !ok || old.ContainerID != spec.ContainerID {
			logger.Info("target found", zap.String("mode", mode), zap.String("target", id), zap.String("container", spec.ContainerID),
				zap.String("cgroup", spec.Cgroup), zap.String("source", spec.Source))
		}

		err := safe.WriterModify(ctx, r, resources.NewTarget(id), func(t *resources.Target) error {
			*t.TypedSpec() = spec

			return nil
		})
		if err != nil {
			return fmt.Errorf("failed to publish target %s: %w", id, err)
		}
	}

	for id := range c.discovery.known {
		if _, ok := found[id]; !ok {
			logger.Info("target gone", zap.String("mode", mode), zap.String("target", id))
		}
	}

	c.discovery.known = found

	return safe.CleanupOutputs[*resources.Target](ctx, r)
}
