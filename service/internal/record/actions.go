// SPDX-License-Identifier: MPL-2.0

// Package record keeps what happened: actions, the last hour, evidence and traces.
package record

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"github.com/cosi-project/runtime/pkg/state"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// Log takes actions of everyone who acts: the controller that writes ceilings, and people over the API.
type Log struct {
	state     state.State
	logger    *zap.Logger
	observers []func(*resources.GuardActionSpec)

	mu       sync.Mutex
	sequence uint64
}

// NewLog returns the record that is published in a state. Observers are told of each recorded action.
func NewLog(st state.State, logger *zap.Logger, observers ...func(*resources.GuardActionSpec)) *Log {
	return &Log{state: st, logger: logger, observers: observers}
}

// Record logs and publishes actions in their order; only the newest resources.MaxGuardActions stay.
func (l *Log) Record(ctx context.Context, actions ...resources.GuardActionSpec) error {
	l.mu.Lock()
	defer l.mu.Unlock()

	for _, action := range actions {
		l.Write(action)

		for _, observe := range l.observers {
			observe(&action)
		}

		l.sequence++

		published := resources.NewGuardAction(id(l.sequence))
		*published.TypedSpec() = action

		if err := l.state.Create(ctx, published); err != nil {
			return fmt.Errorf("error publishing an action: %w", err)
		}

		if l.sequence <= resources.MaxGuardActions {
			continue
		}

		outdated := resources.NewGuardAction(id(l.sequence - resources.MaxGuardActions)).Metadata()

		if err := l.state.Destroy(ctx, outdated); err != nil && !state.IsNotFoundError(err) {
			return fmt.Errorf("error removing an outdated action: %w", err)
		}
	}

	return nil
}

// Write only logs an action: nobody reads resources any more when the service stops.
func (l *Log) Write(action resources.GuardActionSpec) {
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

	// A capture, for one, ends at once.
	if !action.Until.IsZero() {
		fields = append(fields, zap.Time("until", action.Until))
	}

	l.logger.Info("action", fields...)
}

func id(sequence uint64) string {
	text := strconv.FormatUint(sequence, 10)

	// Leading zeros keep lists in order.
	return ("000000" + text)[min(len(text), 6):]
}
