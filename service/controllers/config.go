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

// LoadedConfig is a configuration and where it is from.
type LoadedConfig struct {
	config.Config

	// Source is the document's path, or SourceDefaults.
	Source string

	document []byte
}

// LoadConfig reads the document at path. Without a file the defaults apply.
func LoadConfig(path string) (LoadedConfig, error) {
	document, err := os.ReadFile(path)

	switch {
	case errors.Is(err, fs.ErrNotExist):
		return LoadedConfig{Config: config.Default(), Source: SourceDefaults}, nil
	case err != nil:
		return LoadedConfig{}, fmt.Errorf("error reading configuration: %w", err)
	}

	cfg, err := config.Parse(document)
	if err != nil {
		return LoadedConfig{}, fmt.Errorf("error in configuration %s: %w", path, err)
	}

	return LoadedConfig{Config: cfg, Source: path, document: document}, nil
}

// spec is what clients are shown of it.
func (c LoadedConfig) spec() (resources.GuardConfigSpec, error) {
	document, err := config.Marshal(c.Config)
	if err != nil {
		return resources.GuardConfigSpec{}, fmt.Errorf("error writing the effective configuration: %w", err)
	}

	settings, err := config.Settings(c.Config, c.document)
	if err != nil {
		return resources.GuardConfigSpec{}, err
	}

	spec := resources.GuardConfigSpec{Mode: string(c.Mode), Source: c.Source, Document: string(document)}

	for _, setting := range settings {
		origin := resources.OriginDefault
		if setting.Line > 0 {
			origin = fmt.Sprintf("line %d", setting.Line)
		}

		spec.Settings = append(spec.Settings, resources.ConfigSetting{Field: setting.Field, Value: setting.Value, Origin: origin})
	}

	return spec, nil
}

// ConfigController publishes the configuration in force. A document it cannot take leaves the last good one in force.
type ConfigController struct {
	Path string

	// published is what was last made of a document: it is looked at every few seconds, and hardly ever changes.
	published     *resources.GuardConfigSpec
	publishedFrom LoadedConfig
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

// spec is what clients are shown of a document, made anew only when that is another one.
func (c *ConfigController) spec(loaded LoadedConfig) (resources.GuardConfigSpec, error) {
	if c.published != nil && c.publishedFrom.Source == loaded.Source && bytes.Equal(c.publishedFrom.document, loaded.document) {
		return *c.published, nil
	}

	spec, err := loaded.spec()
	if err != nil {
		return spec, err
	}

	c.published, c.publishedFrom = &spec, loaded

	return spec, nil
}

func (c *ConfigController) reconcile(ctx context.Context, r controller.Runtime, logger *zap.Logger) error {
	loaded, loadErr := LoadConfig(c.Path)

	var fresh resources.GuardConfigSpec

	if loadErr == nil {
		var err error

		if fresh, err = c.spec(loaded); err != nil {
			return err
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

		if spec.Document != fresh.Document {
			logger.Info("configuration in force", zap.String("mode", fresh.Mode), zap.String("source", fresh.Source))
		}

		*spec = fresh

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
