// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/safe"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// configInterval: Talos restarts the service when its document changes, so this is for machines that do not.
const configInterval = 2 * time.Second

// maxReminder is the longest time between two log lines about the same problem of the document.
const maxReminder = time.Hour

// ConfigController publishes the configuration in force. A document that cannot be used leaves the last good one in
// force; before the first good one, the defaults in mode observe.
type ConfigController struct {
	Path string
	// Served is the configuration that the API and the metrics are served with, from the service's start.
	Served config.Config

	// seen is the file as it was last, when everything has been said about it: it is looked at every few seconds,
	// and hardly ever changes.
	seen *[]byte
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
	interval := func() time.Duration { return configInterval }

	return every(ctx, r, interval, func(bool) error { return c.reconcile(ctx, r, logger) })
}

func (c *ConfigController) reconcile(ctx context.Context, r controller.Runtime, logger *zap.Logger) error {
	document, readErr := readDocument(c.Path)

	if readErr == nil && c.seen != nil && bytes.Equal(*c.seen, document) && (*c.seen == nil) == (document == nil) {
		c.remind(boottime.Now(), logger)

		return nil
	}

	if err := c.take(ctx, r, loadDocument(c.Path, document, readErr), logger); err != nil {
		return err
	}

	c.remind(boottime.Now(), logger)

	c.seen = nil
	if readErr == nil {
		c.seen = &document
	}

	return nil
}

// take puts a document in force, or says why not.
func (c *ConfigController) take(ctx context.Context, r controller.Writer, loaded LoadedConfig, logger *zap.Logger) error {
	fresh, err := loaded.spec()
	if err != nil {
		return err
	}

	source := ""

	err = safe.WriterModify(ctx, r, resources.NewGuardConfig(resources.GuardConfigID), func(g *resources.GuardConfig) error {
		spec := g.TypedSpec()

		switch {
		case loaded.Err != nil && spec.Document != "":
			spec.LastError = fresh.LastError
		case spec.Document != fresh.Document:
			logger.Info("configuration in force", zap.String("mode", fresh.Mode), zap.String("source", fresh.Source))

			fallthrough
		default:
			*spec = fresh
		}

		source = spec.Source

		return nil
	})
	if err != nil {
		return fmt.Errorf("error publishing the configuration: %w", err)
	}

	reason, message := c.judge(loaded, source)

	if _, err = setCondition(ctx, r, resources.ConditionConfig, reason, message); err != nil {
		return err
	}

	if message != c.problem {
		c.problem, c.remindAt, c.reminder = message, 0, 0
	}

	return nil
}

// judge returns the condition of a document, when the configuration in force is source's.
func (c *ConfigController) judge(loaded LoadedConfig, source string) (reason, message string) {
	if loaded.Err != nil {
		inForce := "the last good configuration stays in force"
		if source == SourceFallback {
			inForce = "the defaults are in force in mode observe, nothing is written"
		}

		return resources.ReasonBadConfig, loaded.Err.Error() + "; " + inForce
	}

	if fields := restartFields(c.Served, loaded.Config); len(fields) > 0 {
		return resources.ReasonRestartRequired, "restart the service to apply " + strings.Join(fields, ", ") + "; all other fields are in force"
	}

	return resources.ReasonOK, ""
}

// remind logs the problem with the document again and again, ever more slowly: the last lines of the log are what
// Talos shows of a service.
func (c *ConfigController) remind(now time.Duration, logger *zap.Logger) {
	if c.problem == "" || now < c.remindAt {
		return
	}

	logger.Error("configuration needs attention", zap.String("problem", c.problem))

	c.reminder = min(maxReminder, max(configInterval, 2*c.reminder))
	c.remindAt = now + c.reminder
}
