// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cosi-project/runtime/pkg/state"

	"github.com/spegel-guard/spegel-guard/internal/task"
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

	busy atomic.Bool
}

// captureGrace is the time that a capture has to end after its requests.
const captureGrace = time.Second

// captured is the result of a capture.
type captured struct {
	folder string
	err    error
}

// Capture keeps a target's evidence under the configuration in force and returns its folder. Of a partial capture both
// are set. While another capture is in progress it returns record.ErrCapturing: a profile costs the target CPU time for seconds.
func (c *Capturer) Capture(ctx context.Context, id string, target resources.TargetSpec) (string, error) {
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

	if !c.busy.CompareAndSwap(false, true) {
		return "", record.ErrCapturing
	}

	timeout := record.EvidenceTimeout(active.Evidence)
	work, cancel := context.WithTimeout(ctx, timeout)
	done := make(chan captured, 1)

	// Files and the store of evidence have no deadline. A capture that waits for them must not keep its caller.
	go task.Do("capture evidence", func() {
		defer cancel()

		var result captured

		result.err = task.Step("capture evidence", func() (err error) {
			result.folder, err = c.capture(work, id, target, active.Config)

			return err
		})

		c.busy.Store(false)

		done <- result
	})

	// A caller that is gone gets what was captured, too: the action names it.
	timer := time.NewTimer(timeout + captureGrace)
	defer timer.Stop()

	select {
	case result := <-done:
		return result.folder, result.err
	case <-timer.C:
		return "", fmt.Errorf("failed to capture evidence within %s: %w", timeout, context.DeadlineExceeded)
	}
}

func (c *Capturer) capture(ctx context.Context, id string, target resources.TargetSpec, cfg config.Config) (string, error) {
	connection, err := connect(c.Source, target, cfg)
	if err != nil {
		return "", err
	}

	defer connection.Close()

	return c.Store.Capture(ctx, connection, id, cfg.Target.Metrics, cfg.Evidence)
}
