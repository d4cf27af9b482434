// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package override manages the overrides of people: instructions to the guard that replace the decisions of the rules
// for a limited time. Each is recorded with who asked for it, published as an Override resource that the controllers
// follow, and saved over restarts of the service.
package override

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cosi-project/runtime/pkg/state"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/internal/duration"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/persist"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

// File saves overrides by target.
type File = persist.File[resources.OverrideSpec]

// Override is an override with what it is about.
type Override struct {
	resources.OverrideSpec

	// Target is the id of a target, or resources.OverridePauseID.
	Target string
}

// Manager holds the overrides in force. Its methods can be called concurrently.
type Manager struct {
	state   state.State
	actions *record.Actions
	active  *config.Active
	file    File
	now     func() time.Duration
	logger  *zap.Logger

	mu        sync.Mutex
	overrides map[string]resources.OverrideSpec
	// unsaved, unpublished: the file or the resources may not be those of the overrides. Run tries again.
	unsaved, unpublished bool
	saveLog              persist.SaveLog
	changed              chan struct{}
}

// Open returns a manager with the saved overrides that are still in force, and publishes them. now is CLOCK_BOOTTIME.
// With an error the manager is usable. It starts without the saved overrides that the error names, and Run publishes later what could
// not be published.
func Open(
	ctx context.Context, st state.State, actions *record.Actions, active *config.Active, file File, now func() time.Duration, logger *zap.Logger,
) (*Manager, error) {
	m := &Manager{
		state: st, actions: actions, active: active, file: file, now: now, logger: logger,
		overrides: map[string]resources.OverrideSpec{}, changed: make(chan struct{}, 1),
	}

	m.file.Check = func(spec resources.OverrideSpec) error { return checkSaved(spec, now()) }
	saved, err := m.file.Load()

	for id, spec := range saved {
		left := spec.UntilClock - now()
		if left <= 0 {
			continue
		}

		m.overrides[id] = spec
		logger.Info("saved override is in force", zap.String("kind", spec.Kind), zap.String("target", id),
			zap.String("by", spec.By.Subject), zap.Duration("left", left.Round(time.Second)))
	}

	m.unpublished = true

	return m, errors.Join(err, m.settle(ctx))
}

// Pause suspends all ceilings on the node.
func (m *Manager) Pause(ctx context.Context, request Request) ([]Override, error) {
	return m.set(ctx, request, resources.OverrideSpec{Kind: resources.OverridePause})
}

// Release releases the ceiling of a target and suspends new ones.
func (m *Manager) Release(ctx context.Context, request Request) ([]Override, error) {
	return m.set(ctx, request, resources.OverrideSpec{Kind: resources.OverrideRelease})
}

// Throttle sets a ceiling on a target. It must be at least ceiling.floor.
func (m *Manager) Throttle(ctx context.Context, request Request, millicores int64) ([]Override, error) {
	if err := m.checkCeiling(ctx, millicores); err != nil {
		return nil, err
	}

	return m.set(ctx, request, resources.OverrideSpec{Kind: resources.OverrideThrottle, CeilingMillicores: millicores})
}

// Resume ends the override of a target, or all overrides without a target. It returns those that it ended.
func (m *Manager) Resume(ctx context.Context, request Request) ([]Override, error) {
	if err := request.CheckReason(); err != nil {
		return nil, err
	}

	m.mu.Lock()
	defer m.mu.Unlock()

	next := maps.Clone(m.overrides)

	var (
		ended   []Override
		actions []resources.GuardActionSpec
	)

	for _, id := range slices.Sorted(maps.Keys(m.overrides)) {
		if request.Target != "" && request.Target != id {
			continue
		}

		ended = append(ended, Override{Target: id, OverrideSpec: next[id]})
		actions = append(actions, action(resources.ActionResume, id, request, "ends "+next[id].Kind))

		delete(next, id)
	}

	return ended, m.replace(ctx, next, actions)
}

// set puts an override in force for the requested targets, in place of the one that they have.
func (m *Manager) set(ctx context.Context, request Request, spec resources.OverrideSpec) ([]Override, error) {
	if err := request.check(); err != nil {
		return nil, err
	}

	ids := []string{resources.OverridePauseID}

	if spec.Kind != resources.OverridePause {
		var err error

		if ids, err = m.targets(ctx, request.Target); err != nil {
			return nil, err
		}
	}

	m.mu.Lock()
	defer m.mu.Unlock()

	spec.By, spec.Reason = request.By, request.Reason
	spec.SinceClock = m.now()
	spec.UntilClock = spec.SinceClock + request.For
	resources.SetTimes(&spec, boottime.Wall)

	what := spec.Kind
	if spec.Kind == resources.OverrideThrottle {
		what += " to " + config.CPU{Millicores: spec.CeilingMillicores}.String()
	}

	next := maps.Clone(m.overrides)

	var (
		set     []Override
		actions []resources.GuardActionSpec
	)

	for _, id := range ids {
		next[id] = spec
		set = append(set, Override{Target: id, OverrideSpec: spec})

		// The kinds of overrides and of actions have the same names.
		recorded := action(spec.Kind, id, request, fmt.Sprintf("%s for %s", what, duration.Exact(request.For)))
		recorded.Clock, recorded.UntilClock = spec.SinceClock, spec.UntilClock
		actions = append(actions, recorded)
	}

	return set, m.replace(ctx, next, actions)
}

// action returns the record of an override's start or end. The person's own text follows the reason.
func action(kind, id string, request Request, reason string) resources.GuardActionSpec {
	if request.Reason != "" {
		reason += ": " + request.Reason
	}

	return resources.GuardActionSpec{Action: kind, Target: id, Rule: resources.RuleOverride, Reason: reason, By: request.By}
}
