// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"errors"

	"github.com/cosi-project/runtime/pkg/state"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/gometrics"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/observe"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

// connection asks a target at the port of its metrics.
type connection struct {
	*gometrics.Client

	namespace observe.Namespace
}

// connect opens the network namespace of a target. It sends no request.
func connect(source func(resources.TargetSpec) observe.Source, target resources.TargetSpec, cfg config.Config) (*connection, error) {
	port := cfg.Target.Metrics.Port.Number
	if port == 0 {
		return nil, errors.New("target.metrics.port is 0")
	}

	namespace, err := source(target).Namespace()
	if err != nil {
		return nil, err
	}

	return &connection{Client: gometrics.NewClient(namespace.Dial, int(port)), namespace: namespace}, nil
}

// Close closes the connection and the namespace.
func (c *connection) Close() {
	c.Client.Close()
	c.namespace.Close()
}

// Capturer captures evidence when a person asks for it.
type Capturer struct {
	// Store is where evidence is kept; nil captures none.
	Store *record.Evidence
	// Source opens what is read of a target: see observe.NewSource.
	Source func(resources.TargetSpec) observe.Source
	State  state.State
	// Active is the configuration in force.
	Active *config.Active
}

// Capture keeps a target's evidence under the configuration in force and returns its folder. Of a partial capture both
// are set.
func (c Capturer) Capture(ctx context.Context, id string, target resources.TargetSpec) (string, error) {
	if c.Store == nil {
		return "", errors.New("the service has no folder for evidence: set its flag -evidence")
	}

	active := activeConfig{Active: c.Active}

	if _, ok, err := active.read(ctx, c.State); err != nil {
		return "", err
	} else if !ok {
		return "", errors.New("no configuration is in force yet")
	}

	if active.Evidence.Limit.Bytes == 0 {
		return "", errors.New("evidence is off: set evidence.limit")
	}

	ctx, cancel := context.WithTimeout(ctx, record.EvidenceTimeout(active.Evidence))
	defer cancel()

	connection, err := connect(c.Source, target, active.Config)
	if err != nil {
		return "", err
	}

	defer connection.Close()

	return c.Store.Capture(ctx, connection, id, active.Target.Metrics, active.Evidence)
}
