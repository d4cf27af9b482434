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
	"github.com/spegel-guard/spegel-guard/service/internal/host"
	"github.com/spegel-guard/spegel-guard/service/internal/observe"
)

// SampleController reads the kernel's counters of each target at each interval.
type SampleController struct {
	Host host.Host
	// Feed takes every sample; the resource is updated when there is something to tell clients.
	Feed *observe.Feed
	// Duration takes the time that each sample took, in seconds.
	Duration prometheus.Observer
	// Active is the configuration in force.
	Active *config.Active

	config   activeConfig
	samplers map[string]*sampler
	// fed are the targets that others know samples of, whatever became of this controller meanwhile.
	fed map[string]struct{}
	// reason and message are what the condition says.
	reason, message string
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
	c.config.Config, c.config.Active = config.Default(), c.Active
	c.samplers = map[string]*sampler{}

	if c.fed == nil {
		c.fed = map[string]struct{}{}
	}

	defer func() {
		for _, s := range c.samplers {
			s.close()
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
		return fmt.Errorf("error listing targets: %w", err)
	}

	wanted := map[string]bool{}

	for target := range targets.All() {
		id := target.Metadata().ID()
		wanted[id] = true

		if s, ok := c.samplers[id]; ok {
			if sameContainer(s.target, *target.TypedSpec()) {
				s.scrape(c.config.Target.Metrics)

				continue
			}

			s.close()
		}

		c.fed[id] = struct{}{}
		c.samplers[id] = newSampler(c.Host, *target.TypedSpec(), c.config.Target.Metrics)
	}

	for id := range c.fed {
		if wanted[id] {
			continue
		}

		if s, ok := c.samplers[id]; ok {
			s.close()
			delete(c.samplers, id)
		}

		c.Feed.Remove(id)

		if err := ignoreNotFound(r.Destroy(ctx, resources.NewTargetStats(id).Metadata())); err != nil {
			return fmt.Errorf("error removing the stats of %s: %w", id, err)
		}

		delete(c.fed, id)
	}

	return nil
}

func (c *SampleController) sample(ctx context.Context, r controller.Runtime, logger *zap.Logger) error {
	reason, message := resources.ReasonOK, ""

	for id, s := range c.samplers {
		started := time.Now()

		s.sample(boottime.Now())
		c.Duration.Observe(time.Since(started).Seconds())
		c.Feed.Put(id, &s.stats)

		for _, reading := range [...]*resources.Reading{&s.stats.CPU, &s.stats.TXBytesPerSecond} {
			if reading.Provenance == resources.ProvenanceUnavailable && reading.Reason != warmingUp && !s.target.HostNetwork {
				reason, message = resources.ReasonSamplingError, id+": "+reading.Reason
			}
		}
	}

	// Decided first, published second.
	c.Feed.Wake()

	for id, s := range c.samplers {
		if err := s.publish(ctx, r, id); err != nil {
			return err
		}
	}

	if reason == c.reason && message == c.message {
		return nil
	}

	changed, err := setCondition(ctx, r, resources.ConditionSampling, reason, message)
	if err != nil {
		return err
	}

	c.reason, c.message = reason, message

	if changed && reason != resources.ReasonOK {
		logger.Warn("sampling", zap.String("mode", string(c.config.Mode)), zap.String("reason", reason), zap.String("message", message))
	}

	return nil
}

// publish updates the resource when the newest sample is news.
func (s *sampler) publish(ctx context.Context, r controller.Writer, id string) error {
	if !statsChanged(&s.published, &s.stats) {
		return nil
	}

	err := safe.WriterModify(ctx, r, resources.NewTargetStats(id), func(t *resources.TargetStats) error {
		*t.TypedSpec() = s.stats

		return nil
	})
	if err != nil {
		return fmt.Errorf("error publishing the stats of %s: %w", id, err)
	}

	s.published = s.stats

	return nil
}
