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

// Sources of a configuration that is no document's.
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
	// Err is why the document cannot be used, with every mistake in it. The defaults apply then, in mode observe: a
	// guard that nobody could configure decides and reports, and writes nothing.
	Err error

	document []byte
}

// LoadConfig reads the document at path. Without a file the defaults apply.
func LoadConfig(path string) LoadedConfig {
	document, err := readDocument(path)

	return loadDocument(path, document, err)
}

// readDocument reads the file; nil is none.
func readDocument(path string) ([]byte, error) {
	document, err := regular.ReadFile(path, config.MaxDocument)

	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("error reading configuration: %w", err)
	default:
		return document, nil
	}
}

// loadDocument makes a configuration of a document, or of the error of reading it.
func loadDocument(path string, document []byte, err error) LoadedConfig {
	if err == nil && document == nil {
		return LoadedConfig{Config: config.Default(), Source: SourceDefaults}
	}

	var cfg config.Config

	if err == nil {
		if cfg, err = config.Parse(document); err != nil {
			err = fmt.Errorf("error in configuration %s: %w", path, err)
		}
	}

	if err != nil {
		fallback := LoadedConfig{Config: config.Default(), Source: SourceFallback, Err: err}
		fallback.Mode = config.ModeObserve

		return fallback
	}

	return LoadedConfig{Config: cfg, Source: path, document: document}
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

	if c.Err != nil {
		spec.LastError = c.Err.Error()
	}

	for _, setting := range settings {
		origin := resources.OriginDefault
		if setting.Line > 0 {
			origin = fmt.Sprintf("line %d", setting.Line)
		}

		spec.Settings = append(spec.Settings, resources.ConfigSetting{Field: setting.Field, Value: setting.Value, Origin: origin})
	}

	return spec, nil
}

// restartFields are the fields of a configuration that take a restart of the service: its listeners are those that
// the service started with.
func restartFields(served, wanted config.Config) []string {
	// Without a listener its other fields mean nothing.
	onTCP := served.API.TLS.Source != config.TLSNone && wanted.API.TLS.Source != config.TLSNone
	exporting := served.Metrics.Listen != "" && wanted.Metrics.Listen != ""

	var fields []string

	for _, field := range []struct {
		name    string
		differs bool
	}{
		{"api.listen", onTCP && served.API.Listen != wanted.API.Listen},
		{"api.tls", served.API.TLS != wanted.API.TLS},
		{"api.forward", onTCP && served.API.Forward != wanted.API.Forward},
		{"metrics.listen", served.Metrics.Listen != wanted.Metrics.Listen},
		{"metrics.tls", exporting && served.Metrics.TLS != wanted.Metrics.TLS},
	} {
		if field.differs {
			fields = append(fields, field.name)
		}
	}

	return fields
}
