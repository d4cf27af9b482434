// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package override keeps the time-limited instructions of people: release, throttle and pause. They are saved over a
// restart of the service and recorded with who gave them.
//
// They are published as Override resources, on which the controllers act.
package override

import (
	"cmp"
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
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/persist"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

// Errors that a caller tells apart. Wrong arguments are a config.FieldError.
var (
	// ErrNoTarget: no container on the node has the id.
	ErrNoTarget = errors.New("no such target")
	// ErrObserving: the configuration's mode does not let anything be written.
	ErrObserving = errors.New("the mode is observe, so nothing is written")
	// ErrNoConfig: there is no configuration in force yet.
	ErrNoConfig = errors.New("no configuration is in force yet")
)

// Bounds of an override's time, and of its reason in bytes.
const (
	minFor, maxFor = time.Second, 24 * time.Hour
	maxReason      = 256
)

// Request is the instruction of one person.
type Request struct {
	By resources.Person
	// Reason as the person gives it.
	Reason string
	// For is how long it lasts.
	For time.Duration
	// Target is the id of a target; empty is all of them.
	Target string
}

// Manager keeps the overrides in force. Make one with NewManager.
type Manager struct {
	state  state.State
	log    *record.Log
	file   persist.File[Entry]
	logger *zap.Logger

	mu        sync.Mutex
	overrides map[string]Entry
	changed   chan struct{}
}

// Override is one that is in force, or was.
type Override struct {
	resources.OverrideSpec

	// Target is a target's id, or resources.OverridePauseID.
	Target string
}

// Entry is an override in the saved state.
type Entry struct {
	resources.OverrideSpec
}

// IsZero implements persist.Entry.
func (e Entry) IsZero() bool { return e.Kind == "" }

// NewManager returns a manager with the saved overrides that have not expired, and publishes them. The error is about the
// saved state or the publishing; the manager works nevertheless.
func NewManager(ctx context.Context, st state.State, log *record.Log, file persist.File[Entry], logger *zap.Logger) (*Manager, error) {
	m := &Manager{state: st, log: log, file: file, logger: logger, overrides: map[string]Entry{}, changed: make(chan struct{}, 1)}

	remembered, loadErr := file.Load()

	now := boottime.Now()

	for id, entry := range remembered {
		if now >= entry.UntilClock {
			continue // it expired while no guard ran
		}

		m.overrides[id] = entry
		logger.Info("override of an earlier process continues", zap.String("kind", entry.Kind), zap.String("target", id),
			zap.String("by", entry.By.Subject), zap.Duration("left", (entry.UntilClock-now).Round(time.Second)))
	}

	return m, errors.Join(loadErr, m.publish(ctx))
}

// Pause suspends every ceiling of the node.
func (m *Manager) Pause(ctx context.Context, request Request) ([]Override, error) {
	request.Target = "" // it is about the node

	return m.add(ctx, request, resources.OverridePause, 0)
}

// Release releases the ceilings of a target and suspends new ones.
func (m *Manager) Release(ctx context.Context, request Request) ([]Override, error) {
	return m.add(ctx, request, resources.OverrideRelease, 0)
}

// Throttle puts a ceiling on a target.
func (m *Manager) Throttle(ctx context.Context, request Request, millicores int64) ([]Override, error) {
	active, err := m.active(ctx)
	if err != nil {
		return nil, err
	}

	cfg, err := config.Parse([]byte(active.Document))
	if err != nil {
		return nil, fmt.Errorf("error parsing the active configuration: %w", err)
	}

	if cfg.Mode == config.ModeObserve {
		return nil, fmt.Errorf("%w: set mode: enforce", ErrObserving)
	}

	if low := cfg.Ceiling.Floor; millicores < low.Millicores || millicores > config.MaxMillicores {
		return nil, config.FieldError{
			Field: "ceiling", Value: config.CPU{Millicores: millicores}.String(),
			Allowed: fmt.Sprintf("%s (ceiling.floor) to %s cores", low, config.CPU{Millicores: config.MaxMillicores}),
		}
	}

	return m.add(ctx, request, resources.OverrideThrottle, millicores)
}

// Resume ends the overrides of a target, or all of them, and returns them.
func (m *Manager) Resume(ctx context.Context, request Request) ([]Override, error) {
	if err := request.CheckReason(); err != nil {
		return nil, err
	}

	m.mu.Lock()
	defer m.mu.Unlock()

	next := maps.Clone(m.overrides)

	var (
		ended []Override
		done  []resources.GuardActionSpec
	)

	for _, id := range slices.Sorted(maps.Keys(m.overrides)) {
		if request.Target != "" && request.Target != id {
			continue
		}

		ended = append(ended, Override{Target: id, OverrideSpec: next[id].OverrideSpec})
		done = append(done, m.action(ctx, resources.ActionResume, id, request, "ends "+next[id].Kind+sentence(request.Reason)))

		delete(next, id)
	}

	return ended, m.replace(ctx, next, done)
}

// Captured records a capture of evidence that a person asked for: its folder, and what failed.
func (m *Manager) Captured(ctx context.Context, request Request, path string, failure error) error {
	action := m.action(ctx, resources.ActionCapture, request.Target, request, cmp.Or(request.Reason, "asked for"))
	action.Evidence = path

	if failure != nil {
		action.Error = failure.Error()
	}

	return m.log.Record(context.WithoutCancel(ctx), action)
}

// Run ends expired overrides until the context ends.
func (m *Manager) Run(ctx context.Context) error {
	for {
		var timer <-chan time.Time

		if left, ok := m.left(); ok {
			timer = time.After(left)
		}

		select {
		case <-ctx.Done():
			return nil
		case <-m.changed:
			continue
		case <-timer:
		}

		if err := m.expire(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// left is the time until the next override expires.
func (m *Manager) left() (time.Duration, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()

	least, now := maxFor, boottime.Now()

	for _, entry := range m.overrides {
		least = min(least, max(0, entry.UntilClock-now))
	}

	return least, len(m.overrides) > 0
}

func (m *Manager) expire(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()

	next, now := maps.Clone(m.overrides), boottime.Now()

	var done []resources.GuardActionSpec

	for id, entry := range m.overrides {
		if now < entry.UntilClock {
			continue
		}

		delete(next, id)

		done = append(done, m.action(ctx, resources.ActionExpire, id, Request{}, "the time of the "+entry.Kind+" is over"))
	}

	return m.replace(ctx, next, done)
}

// add puts an override in force for the targets of a request.
func (m *Manager) add(ctx context.Context, request Request, kind string, millicores int64) ([]Override, error) {
	if request.For < minFor || request.For > maxFor {
		return nil, config.FieldError{Field: "for", Value: request.For.String(), Allowed: fmt.Sprintf("a duration of %s..%s", minFor, maxFor)}
	}

	if err := request.CheckReason(); err != nil {
		return nil, err
	}

	ids := []string{resources.OverridePauseID}

	if kind != resources.OverridePause {
		var err error

		if ids, err = m.targets(ctx, request.Target); err != nil {
			return nil, err
		}
	}

	m.mu.Lock()
	defer m.mu.Unlock()

	now := boottime.Now()
	entry := Entry{OverrideSpec: resources.OverrideSpec{
		Kind: kind, CeilingMillicores: millicores, Since: boottime.Wall(now), Until: boottime.Wall(now + request.For),
		SinceClock: now, UntilClock: now + request.For, By: request.By, Reason: request.Reason,
	}}

	next := maps.Clone(m.overrides)

	var (
		added []Override
		done  []resources.GuardActionSpec
	)

	for _, id := range ids {
		next[id] = entry
		added = append(added, Override{Target: id, OverrideSpec: entry.OverrideSpec})

		action := m.action(ctx, actionOf(kind), id, request, fmt.Sprintf("%s for %s%s", described(entry.OverrideSpec), request.For, sentence(request.Reason)))
		action.Until = entry.Until
		done = append(done, action)
	}

	return added, m.replace(ctx, next, done)
}

// replace saves, records and publishes, in this sequence: what takes effect is on record.
func (m *Manager) replace(ctx context.Context, next map[string]Entry, done []resources.GuardActionSpec) error {
	// The caller may be gone before it is done; half of it would be worse than all of it.
	ctx = context.WithoutCancel(ctx)

	if err := m.file.Save(next); err != nil {
		m.logger.Error("failed to save overrides, a restart starts without them", zap.Error(err))
	}

	if err := m.log.Record(ctx, done...); err != nil {
		return err
	}

	m.overrides = next

	select {
	case m.changed <- struct{}{}:
	default:
	}

	return m.publish(ctx)
}
