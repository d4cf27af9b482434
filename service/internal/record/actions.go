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

	mu sync.Mutex
	// pending are recorded and not published yet, oldest first.
	pending []resources.GuardActionSpec
	// sequence is the number of the newest published action, removed that of the newest removed one.
	sequence, removed uint64
}

// NewActions returns a record that is published in a state without actions. Observers are called for each action.
func NewActions(st state.State, logger *zap.Logger, observers ...func(*resources.GuardActionSpec)) *Actions {
	return &Actions{state: st, logger: logger, observers: observers}
}

// Record logs and publishes what was done in the order of its arguments, and removes all but the newest
// resources.MaxGuardActions. An action without a time happened now; one without a mode has the mode in force. All are logged. The
// error is about those that could not be published or removed: the next call, also one without actions, tries again.
func (a *Actions) Record(ctx context.Context, actions ...resources.GuardActionSpec) error {
	a.mu.Lock()
	defer a.mu.Unlock()

	if len(actions) > 0 {
		a.complete(ctx, actions)
		a.announce(actions)

		a.pending = append(a.pending, actions...)
		a.pending = a.pending[max(0, len(a.pending)-resources.MaxGuardActions):]
	}

	return errors.Join(a.flush(ctx), a.trim(ctx))
}

// Require publishes actions that must be on record before they take effect, and then logs them. If one cannot be published, Require
// removes the others, logs none and returns an error.
func (a *Actions) Require(ctx context.Context, actions ...resources.GuardActionSpec) error {
	if len(actions) == 0 {
		return nil
	}

	a.mu.Lock()
	defer a.mu.Unlock()

	if err := a.flush(ctx); err != nil {
		return err
	}

	a.complete(ctx, actions)

	for i, action := range actions {
		if err := a.publish(ctx, action); err != nil {
			return errors.Join(err, a.withdraw(ctx, i))
		}
	}

	a.announce(actions)

	// They are on record all the same, and the next call tries again.
	if err := a.trim(ctx); err != nil {
		a.logger.Error("failed to remove outdated actions", zap.Error(err))
	}

	return nil
}

// complete sets the mode and the times of actions that have none.
func (a *Actions) complete(ctx context.Context, actions []resources.GuardActionSpec) {
	mode := ""
	if active, err := safe.StateGetByID[*resources.GuardConfig](ctx, a.state, resources.GuardConfigID); err == nil {
		mode = active.TypedSpec().Mode
	}

	for i := range actions {
		actions[i].Mode = cmp.Or(actions[i].Mode, mode)
		actions[i].Clock = cmp.Or(actions[i].Clock, boottime.Now())
		resources.SetTimes(&actions[i], boottime.Wall)
	}
}

// announce logs actions and calls the observers.
func (a *Actions) announce(actions []resources.GuardActionSpec) {
	for i := range actions {
		a.Log(actions[i])

		for _, observe := range a.observers {
			observe(&actions[i])
		}
	}
}

// flush publishes what is pending. It stops at the first error, so that the order is kept.
func (a *Actions) flush(ctx context.Context) error {
	for len(a.pending) > 0 {
		if err := a.publish(ctx, a.pending[0]); err != nil {
			return err
		}

		a.pending = a.pending[1:]
	}

	a.pending = nil

	return nil
}

// publish creates the resource of an action.
func (a *Actions) publish(ctx context.Context, action resources.GuardActionSpec) error {
	published := resources.NewGuardAction(id(a.sequence + 1))
	*published.TypedSpec() = action
	resources.SetTimes(published.TypedSpec(), boottime.Wall) // the system's clock may have been set since

	if err := a.state.Create(ctx, published); err != nil {
		return fmt.Errorf("failed to publish action %s: %w", published.Metadata().ID(), err)
	}

	a.sequence++

	return nil
}

// withdraw removes the newest actions.
func (a *Actions) withdraw(ctx context.Context, count int) error {
	for range count {
		if err := a.remove(ctx, a.sequence); err != nil {
			return err
		}

		a.sequence--
	}

	return nil
}

// trim removes the outdated actions.
func (a *Actions) trim(ctx context.Context) error {
	for ; a.sequence-a.removed > resources.MaxGuardActions; a.removed++ {
		if err := a.remove(ctx, a.removed+1); err != nil {
			return err
		}
	}

	return nil
}

// remove destroys the resource of an action.
func (a *Actions) remove(ctx context.Context, sequence uint64) error {
	removed := resources.NewGuardAction(id(sequence)).Metadata()

	if err := a.state.Destroy(ctx, removed); err != nil && !state.IsNotFoundError(err) {
		return fmt.Errorf("failed to remove action %s: %w", removed.ID(), err)
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
