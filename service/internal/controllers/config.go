// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/safe"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/internal/filewatch"
	"github.com/spegel-guard/spegel-guard/internal/task"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// configInterval is the time between two reads of the document while it cannot be watched, and the least one between two log lines
// about its problem. Talos restarts the service when it changes; other machines do not.
const configInterval = 2 * time.Second

// maxReminder is the longest time between two log lines about the same problem of the document.
const maxReminder = time.Hour

// ConfigController publishes the configuration in force. A document with errors leaves the last good one in force;
// before the first good one, the defaults in mode observe.
type ConfigController struct {
	// Path of the document.
	Path string
	// Initial is the document that the service started with; its API and metrics listeners stay as configured there.
	Initial LoadedConfig
	// Active takes the configuration in force.
	Active *config.Active
	// Interval between two reads of the document while it cannot be watched; 0 for the default.
	Interval time.Duration

	// loaded is the document that was applied last; nil before the first.
	loaded *LoadedConfig
	// problem with the document, empty for none, and the time (CLOCK_BOOTTIME) and delay of the next log line about it.
	problem  string
	remindAt time.Duration
	reminder time.Duration
}

// Name implements controller.Controller.
func (*ConfigController) Name() string { return "guard.ConfigController" }

// Inputs implements controller.Controller.
func (*ConfigController) Inputs() []controller.Input { return nil }

// Outputs implements controller.Controller.
func (*ConfigController) Outputs() []controller.Output {
	return []controller.Output{
		{Type: resources.GuardConfigType, Kind: controller.OutputExclusive},
		{Type: resources.ConditionType, Kind: controller.OutputShared},
	}
}

// Run implements controller.Controller.
func (c *ConfigController) Run(ctx context.Context, r controller.Runtime, logger *zap.Logger) error {
	if c.loaded == nil {
		if err := c.apply(ctx, r, &c.Initial, logger); err != nil {
			return unlessStopped(err)
		}
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	go task.Run(ctx, "watch the configuration", func() {
		filewatch.Follow(ctx, cmp.Or(c.Interval, configInterval), []string{c.Path}, r.QueueReconcile)
	})

	// Only the problem of a document needs ticks.
	interval := func() time.Duration {
		if c.problem != "" {
			return configInterval
		}

		return filewatch.Fallback
	}

	return every(ctx, r, interval, func(bool) error { return c.reconcile(ctx, r, logger) })
}

func (c *ConfigController) reconcile(ctx context.Context, r controller.Writer, logger *zap.Logger) error {
	if fresh := c.fresh(); fresh != nil {
		if err := c.apply(ctx, r, fresh, logger); err != nil {
			return err
		}
	}

	c.remind(boottime.Now(), logger)

	return nil
}

// fresh returns the document when it is not the one that was applied last; nil otherwise.
func (c *ConfigController) fresh() *LoadedConfig {
	document, err := readDocument(c.Path)
	if err == nil && !c.loaded.unread && bytes.Equal(c.loaded.document, document) && (c.loaded.document == nil) == (document == nil) {
		return nil
	}

	return new(loadDocument(c.Path, document, err))
}

// apply puts a document in force, or reports why it cannot be used.
func (c *ConfigController) apply(ctx context.Context, r controller.Writer, loaded *LoadedConfig, logger *zap.Logger) error {
	spec, err := loaded.spec()
	if err != nil {
		return err
	}

	source := ""

	err = safe.WriterModify(ctx, r, resources.NewGuardConfig(resources.GuardConfigID), func(g *resources.GuardConfig) error {
		current := g.TypedSpec()

		switch {
		case loaded.Err != nil && current.Document != "":
			current.LastError = spec.LastError
		case current.Document != spec.Document:
			logger.Info("configuration in force", zap.String("mode", spec.Mode), zap.String("source", spec.Source))

			fallthrough
		default:
			// Before the resource, which is the event for those who read it.
			c.Active.Set(spec.Document, loaded.Config)

			*current = spec
		}

		source = current.Source

		return nil
	})
	if err != nil {
		return fmt.Errorf("failed to publish the configuration: %w", err)
	}

	reason, message := c.condition(*loaded, source)

	if _, err = setCondition(ctx, r, resources.ConditionConfig, reason, message); err != nil {
		return err
	}

	problem := message
	if reason == resources.ReasonOK {
		problem = ""
	}

	if problem != c.problem {
		c.problem, c.remindAt, c.reminder = problem, 0, 0
	}

	c.loaded = loaded

	return nil
}

// condition returns the condition of a document while the configuration of the source is in force.
func (c *ConfigController) condition(loaded LoadedConfig, source string) (reason, message string) {
	if loaded.Err != nil {
		inForce := "the last good configuration stays in force"
		if source == SourceFallback {
			inForce = "the defaults are in force in mode observe, nothing is written"
		}

		return resources.ReasonBadConfig, loaded.Err.Error() + "; " + inForce
	}

	if fields := restartFields(c.Initial.Config, loaded.Config); len(fields) > 0 {
		return resources.ReasonRestartRequired, "restart the service to apply " + strings.Join(fields, ", ") + "; all other fields are in force"
	}

	// Also a document that does not arrive, for instance because its mountPath has a mistake.
	if loaded.Source == SourceDefaults {
		return resources.ReasonOK, fmt.Sprintf("no document: the defaults are in force, in mode %s", loaded.Mode)
	}

	return resources.ReasonOK, ""
}

// remind logs the problem with the document repeatedly, ever more slowly, so that it is at the end of the log, where "talosctl logs"
// shows it.
func (c *ConfigController) remind(now time.Duration, logger *zap.Logger) {
	if c.problem == "" || now < c.remindAt {
		return
	}

	logger.Error("configuration needs attention", zap.String("problem", c.problem))

	c.reminder = min(maxReminder, max(configInterval, 2*c.reminder))
	c.remindAt = now + c.reminder
}
