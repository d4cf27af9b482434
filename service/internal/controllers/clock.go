// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"fmt"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/state"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// clockInterval is how often the system's clock is compared.
const clockInterval = 5 * time.Second

// ClockController corrects the times of all resources after the system's clock was set. A node without a battery starts in 1970.
type ClockController struct {
	State state.State
	// Wall converts CLOCK_BOOTTIME to the time of day (boottime.Wall).
	Wall func(time.Duration) time.Time

	// last is the time of day at a fixed time since boot, if begun.
	last  time.Time
	begun bool
}

// Name implements controller.Controller.
func (c *ClockController) Name() string { return "ClockController" }

// Inputs implements controller.Controller.
func (c *ClockController) Inputs() []controller.Input { return nil }

// Outputs implements controller.Controller. The resources keep their owners.
func (c *ClockController) Outputs() []controller.Output { return nil }

// Run implements controller.Controller.
func (c *ClockController) Run(ctx context.Context, r controller.Runtime, logger *zap.Logger) error {
	return every(ctx, r, func() time.Duration { return clockInterval }, func(bool) error { return c.reconcile(ctx, logger) })
}

func (c *ClockController) reconcile(ctx context.Context, logger *zap.Logger) error {
	booted := c.Wall(1)
	if c.begun && booted.Equal(c.last) {
		return nil
	}

	if c.begun {
		logger.Info("system's clock was set", zap.Time("booted", booted), zap.Time("before", c.last))
	}

	for _, kind := range resources.Types() {
		list, err := c.State.List(ctx, resource.NewMetadata(resources.Namespace, kind, "", resource.VersionUndefined))
		if err != nil {
			return fmt.Errorf("failed to list %s: %w", kind, err)
		}

		for _, item := range list.Items {
			if err := c.setTimes(ctx, item); err != nil {
				return err
			}
		}
	}

	c.last, c.begun = booted, true

	return nil
}

func (c *ClockController) setTimes(ctx context.Context, item resource.Resource) error {
	_, err := c.State.UpdateWithConflicts(ctx, item.Metadata(), func(r resource.Resource) error {
		resources.SetTimes(r.Spec(), c.Wall)

		return nil
	}, state.WithUpdateOwner(item.Metadata().Owner()), state.WithExpectedPhaseAny())
	if ignoreNotFound(err) != nil {
		return fmt.Errorf("failed to correct the times of %s: %w", item.Metadata(), err)
	}

	return nil
}
