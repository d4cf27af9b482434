//go:build linux

package controllers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/safe"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// configInterval: Talos restarts the service when its document changes, so this is for machines that do not.
const configInterval = 2 * time.Second

// SourceDefaults is the source of a configuration without a document.
const SourceDefaults = "defaults"

// LoadConfig reads the document at path. Without a file the defaults apply.
func LoadConfig(path string) (config.Config, string, error) {
	document, err := os.ReadFile(path)

	switch {
	case errors.Is(err, fs.ErrNotExist):
		return config.Default(), SourceDefaults, nil
	case err != nil:
		return config.Config{}, path, fmt.Errorf("error reading configuration: %w", err)
	}

	cfg, err := config.Parse(document)
	if err != nil {
		return config.Config{}, path, fmt.Errorf("error in configuration %s: %w", path, err)
	}

	return cfg, path, nil
}

// ConfigController publishes the configuration in force. A document it cannot take leaves the last good one in force.
type ConfigController struct {
	Path string
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
	cfg, source, loadErr := LoadConfig(c.Path)

	var document []byte

	if loadErr == nil {
		var err error

		if document, err = config.Marshal(cfg); err != nil {
			return fmt.Errorf("error writing the effective configuration: %w", err)
		}
	}

	err := safe.WriterModify(ctx, r, resources.NewGuardConfig(resources.GuardConfigID), func(g *resources.GuardConfig) error {
		spec := g.TypedSpec()

		if loadErr != nil {
			if spec.LastError != loadErr.Error() {
				logger.Error("configuration not taken, the last good one stays in force", zap.String("mode", spec.Mode), zap.Error(loadErr))
			}

			spec.LastError = loadErr.Error()

			return nil
		}

		if !bytes.Equal([]byte(spec.Document), document) {
			logger.Info("configuration in force", zap.String("mode", string(cfg.Mode)), zap.String("source", source))
		}

		*spec = resources.GuardConfigSpec{Mode: string(cfg.Mode), Source: source, Document: string(document)}

		return nil
	})
	if err != nil {
		return fmt.Errorf("error publishing the configuration: %w", err)
	}

	reason, message := resources.ReasonOK, ""
	if loadErr != nil {
		reason, message = resources.ReasonBadConfig, loadErr.Error()
	}

	_, err = setCondition(ctx, r, resources.ConditionConfig, reason, message)

	return err
}
