// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package controllers moves the guard's resources on: configuration, targets, samples, decisions, ceilings.
//
// Each controller reads some types and owns others; they meet in the COSI state alone.
package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// activeConfig is a controller's view of the configuration in force.
type activeConfig struct {
	config.Config

	// Active has it parsed.
	Active   *config.Active
	document string
}

// read brings it up to date and reports whether it changed; ok is false before there is one.
func (a *activeConfig) read(ctx context.Context, r controller.Reader) (changed, ok bool, err error) {
	guardConfig, err := safe.ReaderGetByID[*resources.GuardConfig](ctx, r, resources.GuardConfigID)
	if err != nil {
		if state.IsNotFoundError(err) {
			return false, false, nil
		}

		return false, false, fmt.Errorf("failed to read the active configuration: %w", err)
	}

	document := guardConfig.TypedSpec().Document
	if document == "" || document == a.document {
		return false, document != "", nil
	}

	cfg, err := a.Active.Parse(document)
	if err != nil {
		return false, false, fmt.Errorf("failed to parse the active configuration: %w", err)
	}

	a.Config, a.document = cfg, document

	return true, true, nil
}

// sameContainer tells a container from the one after it, whose id may even be the same.
func sameContainer(a, b resources.TargetSpec) bool {
	return a.ContainerID == b.ContainerID && a.CgroupInode == b.CgroupInode
}

// conditionPublisher publishes a condition that is determined at each tick. It writes the resource only for a change.
type conditionPublisher struct{ reason, message string }

// publish updates the condition and reports whether it changed.
func (p *conditionPublisher) publish(ctx context.Context, w controller.Writer, id resource.ID, reason, message string) (bool, error) {
	if p.reason == reason && p.message == message {
		return false, nil
	}

	changed, err := setCondition(ctx, w, id, reason, message)
	if err != nil {
		return false, err
	}

	p.reason, p.message = reason, message

	return changed, nil
}

// setCondition reports how a part of the guard is. It tells whether anything changed.
func setCondition(ctx context.Context, w controller.Writer, id resource.ID, reason, message string) (bool, error) {
	changed := false

	err := safe.WriterModify(ctx, w, resources.NewCondition(id), func(r *resources.Condition) error {
		changed = r.TypedSpec().Set(reason, message, boottime.Now())
		resources.SetTimes(r.TypedSpec(), boottime.Wall)

		return nil
	})
	if err != nil {
		return false, fmt.Errorf("error setting condition %s: %w", id, err)
	}

	return changed, nil
}

// ignoreNotFound is for resources that may be gone already.
func ignoreNotFound(err error) error {
	if state.IsNotFoundError(err) {
		return nil
	}

	return err
}

// weak is an input that triggers a reconcile.
func weak(t resource.Type) controller.Input {
	return controller.Input{Namespace: resources.Namespace, Type: t, Kind: controller.InputWeak}
}

// every calls reconcile at each event and each tick until the context ends. The interval is asked
// for again after each call, so a new configuration takes effect at once.
func every(ctx context.Context, r controller.Runtime, interval func() time.Duration, reconcile func(tick bool) error) error {
	current := interval()

	ticker := time.NewTicker(current)
	defer ticker.Stop()

	for {
		tick := false

		select {
		case <-ctx.Done():
			return nil
		case <-r.EventCh():
		case <-ticker.C:
			tick = true
		}

		if err := reconcile(tick); err != nil {
			if errors.Is(err, context.Canceled) {
				return nil
			}

			return err
		}

		r.ResetRestartBackoff()

		if next := interval(); next != current {
			current = next
			ticker.Reset(current)
		}
	}
}

// unlessStopped returns an error, unless it is that the service stops.
func unlessStopped(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}

	return err
}
