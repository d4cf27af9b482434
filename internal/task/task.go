// SPDX-License-Identifier: MPL-2.0

// Package task runs the functions of the guard's goroutines. A panic ends the step in which it occurred, never the process:
// a process without its enforcer leaves ceilings in force.
package task

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"go.uber.org/zap"
)

// Back-off of Run. It starts again at the least one after a step that took longer than the most.
const (
	minBackoff = time.Second
	maxBackoff = time.Minute
)

// ErrPanicked is the error of a step that panicked. Errors go to clients, so the value of the panic is in the log only.
var ErrPanicked = errors.New("internal error, the guard's log has its stack")

// Recovered logs a recovered panic with its stack and returns its error, which wraps ErrPanicked. The name says what was done
// ("read the counters"). Call it in the deferred function that recovers.
func Recovered(name string, value any) error {
	zap.L().Error("task panicked", zap.String("task", name), zap.Any("panic", value), zap.ByteString("stack", debug.Stack()))

	return fmt.Errorf("failed to %s: %w", name, ErrPanicked)
}

// Step calls do and returns its error, or that of its panic.
func Step(name string, do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = Recovered(name, p)
		}
	}()

	return do()
}

// Do calls do and recovers from its panic.
func Do(name string, do func()) {
	Step(name, func() error { //nolint:errcheck // logged
		do()

		return nil
	})
}

// Run calls do, and again after each panic with a back-off, until do returns or the context ends.
func Run(ctx context.Context, name string, do func()) {
	for backoff := minBackoff; ; backoff = min(maxBackoff, 2*backoff) {
		began := time.Now()

		err := Step(name, func() error {
			do()

			return nil
		})
		if err == nil {
			return
		}

		if time.Since(began) > maxBackoff {
			backoff = minBackoff
		}

		select {
		case <-ctx.Done():
			return
		case <-time.After(backoff):
		}
	}
}
