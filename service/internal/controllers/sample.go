// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"fmt"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/observe"
)

// SampleController reads the kernel's counters of each target at each interval.
type SampleController struct {
	// Source opens what is read of a target: see observe.NewSource.
	Source func(resources.TargetSpec) observe.Source
	// Feed takes every sample; the resource is updated when there is something to tell clients.
	Feed *observe.Feed
	// Duration takes the time that each sample took, in seconds.
	Duration prometheus.Observer
	// Active is the configuration in force.
	Active *config.Active

	config   activeConfig
	samplers map[string]*observe.Sampler
	// published are the samples that clients know.
	published map[string]*resources.TargetStatsSpec
	// fed are the targets that others know samples of, whatever became of this controller meanwhile.
	fed       map[string]struct{}
	condition conditionPublisher
}

// Name implements controller.Controller.
func (*SampleController) Name() string { return "guard.SampleController" }

// Inputs implements controller.Controller.
func (*SampleController) Inputs() []controller.Input {
	return []controller.Input{weak(resources.GuardConfigType), weak(resources.TargetType)}
}

// Outputs implements controller.Controller.
func (*SampleController) Outputs() []controller.Output {
	return []controller.Output{
		{Type: resources.TargetStatsType, Kind: controller.OutputExclusive},
		{Type: resources.ConditionType, Kind: controller.OutputShared},
	}
}

// Run implements controller.Controller.
func (c *SampleController) Run(ctx context.Context, r controller.Runtime, logger *zap.Logger) error {
	c.samplers, c.published = map[string]*observe.Sampler{}, map[string]*resources.TargetStatsSpec{}

	if c.fed == nil {
		c.config.Config, c.config.Active = config.Default(), c.Active
		c.fed = map[string]struct{}{}
	}

	defer func() {
		for _, s := range c.samplers {
			s.Close()
		}
	}()

	return every(ctx, r, func() time.Duration { return c.config.Interval.Duration }, func(tick bool) error {
		if tick {
			return c.sample(ctx, r, logger)
		}

		return c.sync(ctx, r)
	})
}

// sync opens what is new and closes what is gone.
func (c *SampleController) sync(ctx context.Context, r controller.Runtime) error {
	if _, ok, err := c.config.read(ctx, r); err != nil || !ok {
		return err
	}

	targets, err := safe.ReaderListAll[*resources.Target](ctx, r)
	if err != nil {
		return fmt.Errorf("failed to list targets: %w", err)
	}

	present := map[string]bool{}

	for target := range targets.All() {
		id := target.Metadata().ID()
		present[id] = true

		if s, ok := c.samplers[id]; ok {
			if sameContainer(s.Target(), *target.TypedSpec()) {
				s.Scrape(c.config.Target.Metrics)

				continue
			}

			s.Close()
		}

		c.fed[id] = struct{}{}
		c.samplers[id] = observe.NewSampler(c.Source(*target.TypedSpec()), *target.TypedSpec(), c.config.Target.Metrics)
		c.published[id] = new(resources.TargetStatsSpec)
	}

	for id := range c.fed {
		if present[id] {
			continue
		}

		if s, ok := c.samplers[id]; ok {
			s.Close()
			delete(c.samplers, id)
			delete(c.published, id)
		}

		c.Feed.Remove(id)

		if err := ignoreNotFound(r.Destroy(ctx, resources.NewTargetStats(id).Metadata())); err != nil {
			return fmt.Errorf("failed to remove the sample of %s: %w", id, err)
		}

		delete(c.fed, id)
	}

	return nil
}

func (c *SampleController) sample(ctx context.Context, r controller.Runtime, logger *zap.Logger) error {
	reason, message := resources.ReasonOK, ""

	for id, s := range c.samplers {
		started := time.Now()

		s.Sample(boottime.Now())
		c.Duration.Observe(time.Since(started).Seconds())
		c.Feed.Put(id, s.Stats(), s.Answer())

		for _, reading := range [...]*resources.Reading{&s.Stats().CPU, &s.Stats().TXBytesPerSecond} {
			if reading.Provenance == resources.ProvenanceUnavailable && !s.Target().HostNetwork {
				reason, message = resources.ReasonSamplingError, id+": "+reading.Reason
			}
		}
	}

	// Decided first, published second.
	c.Feed.Wake()

	for id, s := range c.samplers {
		if !observe.Significant(c.published[id], s.Stats()) {
			continue
		}

		if err := publishStats(ctx, r, id, s.Stats()); err != nil {
			return err
		}

		*c.published[id] = *s.Stats()
	}

	changed, err := c.condition.publish(ctx, r, resources.ConditionSampling, reason, message)
	if changed && reason != resources.ReasonOK {
		logger.Warn("failed to sample a target", zap.String("mode", string(c.config.Mode)), zap.String("reason", reason), zap.String("message", message))
	}

	return err
}

// publishStats is apart, so that its closure is allocated only when it is called.
func publishStats(ctx context.Context, r controller.Writer, id string, stats *resources.TargetStatsSpec) error {
	err := safe.WriterModify(ctx, r, resources.NewTargetStats(id), func(t *resources.TargetStats) error {
		*t.TypedSpec() = *stats

		return nil
	})
	if err != nil {
		return fmt.Errorf("failed to publish the sample of %s: %w", id, err)
	}

	return nil
}
