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

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/discover"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/host"
)

// discoverInterval bounds how long a new container goes unseen without an event stream, and an ended one
// with it. A question costs the runtime a few milliseconds, so it is not asked at each sample.
const discoverInterval = 2 * time.Second

// confirmInterval is how often it is asked nevertheless while the event stream is up. machined answers
// with everything about every container, which costs it much more than an event costs.
const confirmInterval = 30 * time.Second

// TargetController finds the containers to guard.
type TargetController struct {
	Host host.Host
	// Sources in order of preference; one that cannot answer is passed over.
	Sources []discover.Source
	// Events of the container runtime say when to ask anew; nil asks at each interval.
	Events EventSource
	// Active is the configuration in force.
	Active *config.Active

	config activeConfig
	known  map[string]resources.TargetSpec
	// labelled tells that a source that knows the labels has answered before.
	labelled bool
	// asked is when the sources were last asked.
	asked time.Duration
	watch watch
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
	c.config.Active = c.Active

	interval := func() time.Duration { return discoverInterval }

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	if c.Events != nil {
		go c.watch.run(ctx, c.Events, r.QueueReconcile)
	}

	return every(ctx, r, interval, func(bool) error { return c.reconcile(ctx, r, logger) })
}

func (c *TargetController) reconcile(ctx context.Context, r controller.Runtime, logger *zap.Logger) error {
	changed, ok, err := c.config.read(ctx, r)
	if err != nil || !ok {
		return err
	}

	selector := selectorOf(c.config.Target)

	if pending := c.watch.take(selector); !changed && !pending && !c.due(boottime.Now()) {
		return nil
	}

	c.asked = boottime.Now()

	found, reason, message := c.discover(ctx, c.config.Target)

	if err := c.publish(ctx, r, logger, string(c.config.Mode), found); err != nil {
		return err
	}

	changed, err = setCondition(ctx, r, resources.ConditionDiscovery, reason, message)
	if changed {
		logger.Info("discovery", zap.String("mode", string(c.config.Mode)), zap.String("reason", reason), zap.String("message", message),
			zap.Int("targets", len(found)))
	}

	return err
}

// discover returns the targets by workload, and the condition.
func (c *TargetController) discover(ctx context.Context, target config.Target) (map[string]resources.TargetSpec, string, string) {
	if err := cgroup.CheckRoot(c.Host.Cgroup); err != nil {
		return nil, resources.ReasonNoCgroup2, fmt.Sprintf("%v: the guard needs the node's unified hierarchy mounted there", err)
	}

	answer, err := discover.Find(ctx, selectorOf(target), c.Sources...)
	containers := answer.Containers

	found := map[string]resources.TargetSpec{}
	seen := map[string]bool{}

	switch {
	case answer.Unlabelled == nil:
		c.labelled = true
	case c.labelled:
		// While the runtime is away nobody can start a container, so there is none to discover; but the
		// other sources would offer some that the runtime, which knows the labels, had passed over.
		containers = nil
	}

	// Without the labels, what was known stays as long as it lives.
	if answer.Unlabelled != nil {
		for id, spec := range c.known {
			if c.Host.Alive(spec) {
				found[id], seen[spec.ContainerID] = spec, true
			}
		}
	}

	var inspectErrs error

	for _, container := range containers {
		if seen[container.ID] {
			continue
		}

		spec, inspectErr := c.Host.Inspect(container)
		if inspectErr != nil {
			inspectErrs = errors.Join(inspectErrs, fmt.Errorf("container %s: %w", container.Workload(), inspectErr))

			continue
		}

		// The kernel's time of boot varies by a second, and a change is news for every client.
		if old := c.known[container.Workload()]; container.Started.IsZero() && sameProcess(old, spec) && !old.Started.IsZero() {
			spec.Started = old.Started
		}

		found[container.Workload()] = spec
	}

	unlabelled := errors.Join(err, answer.Unlabelled)

	switch {
	case answer.Unlabelled != nil && len(found) == 0:
		return found, resources.ReasonCRI, fmt.Sprintf("%v: is the container runtime up, and its socket mounted?", unlabelled)
	case answer.Unlabelled != nil:
		return found, resources.ReasonCRI, fmt.Sprintf("%v: going on with what is known and what can be told without labels", unlabelled)
	case len(found) == 0 && inspectErrs != nil:
		return found, resources.ReasonNoTarget, inspectErrs.Error()
	case len(found) == 0:
		return found, resources.ReasonNoTarget,
			fmt.Sprintf("no running container %q in a pod with labels %v", target.Container, target.PodLabels)
	default:
		return found, resources.ReasonOK, ""
	}
}

// due tells whether the sources should be asked without an event: one may be missed, or none may come.
func (c *TargetController) due(now time.Duration) bool {
	if c.asked == 0 || !c.watch.up.Load() || now-c.asked >= confirmInterval {
		return true
	}

	for _, spec := range c.known {
		if !c.Host.Alive(spec) {
			return true
		}
	}

	return false
}

func selectorOf(target config.Target) discover.Selector {
	return discover.Selector{
		Namespace: target.Namespace, PodLabels: target.PodLabels, Container: target.Container, Process: target.Process,
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

// sameProcess reports whether two targets are one container with the same first process.
func sameProcess(a, b resources.TargetSpec) bool {
	return a.ContainerID == b.ContainerID && a.PID == b.PID && a.PIDStartTime == b.PIDStartTime
}
