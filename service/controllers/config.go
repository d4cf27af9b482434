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
	document, err := readDocument(path)
	if err != nil {
		return LoadedConfig{}, err
	}

	return loadDocument(path, document)
}

// readDocument reads the file; nil is none.
func readDocument(path string) ([]byte, error) {
	document, err := os.ReadFile(path)

	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("error reading configuration: %w", err)
	default:
		return document, nil
	}
}

func loadDocument(path string, document []byte) (LoadedConfig, error) {
	if document == nil {
		return LoadedConfig{Config: config.Default(), Source: SourceDefaults}, nil
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

	// seen is the file as it was last, when everything has been said about it: it is looked at every few seconds,
	// and hardly ever changes.
	seen *[]byte
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
		return nil
	}

	if err := c.take(ctx, r, document, readErr, logger); err != nil {
		return err
	}

	c.seen = nil
	if readErr == nil {
		c.seen = &document
	}

	return nil
}

// take puts a document in force, or says why not.
func (c *ConfigController) take(ctx context.Context, r controller.Writer, document []byte, loadErr error, logger *zap.Logger) error {
	var fresh resources.GuardConfigSpec

	if loadErr == nil {
		var loaded LoadedConfig

		if loaded, loadErr = loadDocument(c.Path, document); loadErr == nil {
			var err error

			if fresh, err = loaded.spec(); err != nil {
				return err
			}
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
