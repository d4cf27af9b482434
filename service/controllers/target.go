//go:build linux

package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/safe"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/discover"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// discoverInterval bounds how long a new container goes unseen. A question costs the runtime a few
// milliseconds, so it is not asked at each sample.
const discoverInterval = 2 * time.Second

// TargetController finds the containers to guard.
type TargetController struct {
	Paths Paths
	// Sources in order of preference; one that cannot answer is passed over.
	Sources []discover.Source

	config activeConfig
	known  map[string]resources.TargetSpec
	// answered tells that the first source has answered before.
	answered bool
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
	interval := func() time.Duration { return discoverInterval }

	return every(ctx, r, interval, func(bool) error { return c.reconcile(ctx, r, logger) })
}

func (c *TargetController) reconcile(ctx context.Context, r controller.Runtime, logger *zap.Logger) error {
	if _, ok, err := c.config.read(ctx, r); err != nil || !ok {
		return err
	}

	found, reason, message := c.discover(ctx, c.config.Target)

	if err := c.publish(ctx, r, logger, string(c.config.Mode), found); err != nil {
		return err
	}

	changed, err := setCondition(ctx, r, resources.ConditionDiscovery, reason, message)
	if changed {
		logger.Info("discovery", zap.String("mode", string(c.config.Mode)), zap.String("reason", reason), zap.String("message", message),
			zap.Int("targets", len(found)))
	}

	return err
}

// discover returns the targets by workload, and the condition.
func (c *TargetController) discover(ctx context.Context, target config.Target) (map[string]resources.TargetSpec, string, string) {
	if err := cgroup.CheckRoot(c.Paths.Cgroup); err != nil {
		return nil, resources.ReasonNoCgroup2, fmt.Sprintf("%v: the guard needs the node's unified hierarchy mounted there", err)
	}

	containers, err := discover.Find(ctx, discover.Selector{
		Namespace: target.Namespace, PodLabels: target.PodLabels, Container: target.Container, Process: target.Process,
	}, c.Sources...)

	found := map[string]resources.TargetSpec{}
	seen := map[string]bool{}

	switch {
	case err == nil:
		c.answered = true
	case c.answered:
		// While the runtime is away nobody can start a container, so there is none to discover; but the
		// other sources would offer some that the runtime, which knows the labels, had passed over.
		containers = nil
	}

	// Without the preferred source, what was known stays as long as it lives.
	if err != nil {
		for id, spec := range c.known {
			if alive(c.Paths, spec) {
				found[id], seen[spec.ContainerID] = spec, true
			}
		}
	}

	var inspectErrs error

	for _, container := range containers {
		if seen[container.ID] {
			continue
		}

		spec, inspectErr := inspect(c.Paths, container)
		if inspectErr != nil {
			inspectErrs = errors.Join(inspectErrs, fmt.Errorf("container %s: %w", container.Workload(), inspectErr))

			continue
		}

		found[container.Workload()] = spec
	}

	switch {
	case err != nil && len(found) == 0:
		return found, resources.ReasonCRI, fmt.Sprintf("%v: is the container runtime up, and its socket mounted?", err)
	case err != nil:
		return found, resources.ReasonCRI, fmt.Sprintf("%v: going on with what is known and what procfs shows", err)
	case len(found) == 0 && inspectErrs != nil:
		return found, resources.ReasonNoTarget, inspectErrs.Error()
	case len(found) == 0:
		return found, resources.ReasonNoTarget,
			fmt.Sprintf("no running container %q in a pod with labels %v", target.Container, target.PodLabels)
	default:
		return found, resources.ReasonOK, ""
	}
}

func (c *TargetController) publish(
	ctx context.Context, r controller.Runtime, logger *zap.Logger, mode string, found map[string]resources.TargetSpec,
) error {
	r.StartTrackingOutputs()

	for id, spec := range found {
		if old, ok := c.known[id]; !ok || old.ContainerID != spec.ContainerID {
			logger.Info("target", zap.String("mode", mode), zap.String("target", id), zap.String("container", spec.ContainerID),
				zap.String("cgroup", spec.Cgroup), zap.String("source", spec.Source))
		}

		err := safe.WriterModify(ctx, r, resources.NewTarget(id), func(t *resources.Target) error {
			*t.TypedSpec() = spec

			return nil
		})
		if err != nil {
			return fmt.Errorf("error publishing target %s: %w", id, err)
		}
	}

	for id := range c.known {
		if _, ok := found[id]; !ok {
			logger.Info("target gone", zap.String("mode", mode), zap.String("target", id))
		}
	}

	c.known = found

	return safe.CleanupOutputs[*resources.Target](ctx, r)
}
