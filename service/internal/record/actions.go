// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package record keeps what happened on the node, for the API, the log and later replay:
//
//   - Actions publishes what the service and people did as GuardAction resources and logs it.
//   - History averages the counters of each target and of the node over the last hour and the last day.
//   - Evidence saves a target's metrics and profile at a ceiling, in files.
//   - Trace writes the samples that the policy decided on to a file, in the format of pkg/trace.
package record

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// Actions records actions. It creates the GuardAction resources itself, and no controller owns them: both
// CeilingController and the overrides of people record actions, and COSI allows one owner per resource type.
type Actions struct {
	state     state.State
	logger    *zap.Logger
	observers []func(*resources.GuardActionSpec)

	mu       sync.Mutex
	sequence uint64
}

// NewActions returns a record that is published in a state without actions. Observers are called for each action.
func NewActions(st state.State, logger *zap.Logger, observers ...func(*resources.GuardActionSpec)) *Actions {
	return &Actions{state: st, logger: logger, observers: observers}
}

// Record logs and publishes actions in the order of its arguments, and removes all but the newest
// resources.MaxGuardActions. An action without a time happened now; one without a mode has the mode in force. All are logged, and the
// error is about those that could not be published.
func (a *Actions) Record(ctx context.Context, actions ...resources.GuardActionSpec) error {
	a.mu.Lock()
	defer a.mu.Unlock()

	mode := ""
	if active, err := safe.StateGetByID[*resources.GuardConfig](ctx, a.state, resources.GuardConfigID); err == nil {
		mode = active.TypedSpec().Mode
	}

	var errs error

	for _, action := range actions {
		action.Mode = cmp.Or(action.Mode, mode)

		action.Clock = cmp.Or(action.Clock, boottime.Now())
		resources.SetTimes(&action, boottime.Wall)

		a.Log(action)

		for _, observe := range a.observers {
			observe(&action)
		}

		errs = errors.Join(errs, a.publish(ctx, action))
	}

	return errs
}

// publish creates the resource of an action and removes the outdated one.
func (a *Actions) publish(ctx context.Context, action resources.GuardActionSpec) error {
	a.sequence++

	published := resources.NewGuardAction(id(a.sequence))
	*published.TypedSpec() = action

	if err := a.state.Create(ctx, published); err != nil {
		return fmt.Errorf("failed to publish action %s: %w", published.Metadata().ID(), err)
	}

	if a.sequence <= resources.MaxGuardActions {
		return nil
	}

	outdated := resources.NewGuardAction(id(a.sequence - resources.MaxGuardActions)).Metadata()

	if err := a.state.Destroy(ctx, outdated); err != nil && !state.IsNotFoundError(err) {
		return fmt.Errorf("failed to remove outdated action %s: %w", outdated.ID(), err)
	}

	return nil
}

// Log logs an action without publishing it, for when the service stops and its resources are not served any more.
func (a *Actions) Log(action resources.GuardActionSpec) {
	fields := []zap.Field{
		zap.String("mode", action.Mode), zap.String("action", action.Action), zap.String("target", action.Target),
		zap.String("rule", action.Rule), zap.String("reason", action.Reason),
		zap.String("before", action.Before), zap.String("after", action.After), zap.String("error", action.Error),
		zap.String("evidence", action.Evidence),
	}

	if action.Reaction > 0 {
		fields = append(fields, zap.Duration("reaction", action.Reaction))
	}

	if !action.By.IsZero() {
		fields = append(fields, zap.String("by", action.By.Subject), zap.String("fingerprint", action.By.Fingerprint),
			zap.String("from", action.By.From))
	}

	if !action.Until.IsZero() {
		fields = append(fields, zap.Time("until", action.Until))
	}

	a.logger.Info("action recorded", fields...)
}

// id returns a sequence number as a resource id. Leading zeros make the ids of the first million sort by number.
func id(sequence uint64) string { return fmt.Sprintf("%06d", sequence) }
