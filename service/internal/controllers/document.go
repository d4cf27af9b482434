// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spegel-guard/spegel-guard/internal/regular"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// Sources of a configuration without a document.
const (
	// SourceDefaults: there is no document.
	SourceDefaults = "defaults"
	// SourceFallback: the document cannot be used, and no good one was in force before.
	SourceFallback = "defaults in mode observe"
)

// LoadedConfig is a configuration and where it is from.
type LoadedConfig struct {
	config.Config

	// Source is the document's path, SourceDefaults or SourceFallback.
	Source string
	// Err is why the document cannot be used, with every error in it. The defaults apply then in mode observe, so that
	// nothing is written.
	Err error

	// document as it was read, nil for none; unread is set when reading it failed.
	document []byte
	unread   bool
}

// LoadConfig reads the document at a path. Without a file the defaults apply.
func LoadConfig(path string) LoadedConfig {
	document, err := readDocument(path)

	return loadDocument(path, document, err)
}

// readDocument reads the file; nil for none. An empty file is none: where Talos had mounted a document that was removed, the mount
// point stays in the overlay of the service (siderolabs/talos internal/app/machined/pkg/system/services/extension.go, PreFunc).
func readDocument(path string) ([]byte, error) {
	document, err := regular.ReadFile(path, config.MaxDocument)

	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("failed to read the configuration: %w", err)
	case len(document) == 0:
		return nil, nil
	default:
		return document, nil
	}
}

// loadDocument returns the configuration of a document; err is the error of reading it.
func loadDocument(path string, document []byte, err error) LoadedConfig {
	unread := err != nil

	if err == nil && document == nil {
		return LoadedConfig{Config: config.Default(), Source: SourceDefaults}
	}

	var cfg config.Config

	if err == nil {
		if cfg, err = config.Parse(document); err != nil {
			err = fmt.Errorf("failed to load the configuration %s: %w", path, err)
		}
	}

	if err != nil {
		fallback := LoadedConfig{Config: config.Default(), Source: SourceFallback, Err: err, document: document, unread: unread}
		fallback.Mode = config.ModeObserve

		return fallback
	}

	return LoadedConfig{Config: cfg, Source: path, document: document}
}

// spec returns the resource of the configuration.
func (c LoadedConfig) spec() (resources.GuardConfigSpec, error) {
	document, err := config.Marshal(c.Config)
	if err != nil {
		return resources.GuardConfigSpec{}, fmt.Errorf("failed to write the effective configuration: %w", err)
	}

	spec := resources.GuardConfigSpec{Mode: string(c.Mode), Source: c.Source, Document: string(document)}

	if c.Err != nil {
		spec.LastError = c.Err.Error()
	}

	// The defaults of a fallback are written on no line of its document.
	written := c.document
	if c.Err != nil {
		written = nil
	}

	for _, setting := range config.Settings(c.Config, written) {
		origin := resources.OriginDefault
		if setting.Line > 0 {
			origin = fmt.Sprintf("line %d", setting.Line)
		}

		spec.Settings = append(spec.Settings, resources.ConfigSetting{Field: setting.Field, Value: setting.Value, Origin: origin})
	}

	return spec, nil
}

// restartFields returns the fields of a new configuration that need a restart of the service: its listeners stay as the
// service started with.
func restartFields(served, next config.Config) []string {
	// Without a listener its other fields have no effect.
	onTCP := served.API.TLS.Source != config.TLSNone && next.API.TLS.Source != config.TLSNone
	exporting := served.Metrics.Listen != "" && next.Metrics.Listen != ""

	var fields []string

	for _, field := range []struct {
		name    string
		differs bool
	}{
		{"api.listen", onTCP && served.API.Listen != next.API.Listen},
		{"api.tls", served.API.TLS != next.API.TLS},
		{"api.forward", onTCP && served.API.Forward != next.API.Forward},
		{"metrics.listen", served.Metrics.Listen != next.Metrics.Listen},
		{"metrics.tls", exporting && served.Metrics.TLS != next.Metrics.TLS},
	} {
		if field.differs {
			fields = append(fields, field.name)
		}
	}

	return fields
}
