// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"errors"

	"github.com/cosi-project/runtime/pkg/controller"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
)

// enforcementCondition publishes what prevents ceilings from being written.
type enforcementCondition struct{ publisher conditionPublisher }

// publish updates the condition when it changed, and logs that.
func (c *enforcementCondition) publish(ctx context.Context, r controller.Writer, logger *zap.Logger, reason, message string) error {
	changed, err := c.publisher.publish(ctx, r, resources.ConditionEnforcement, reason, message)
	if changed {
		logger.Info("enforcement condition changed", zap.String("reason", reason), zap.String("message", message))
	}

	return err
}

// leavesCeiling reports whether an error leaves a ceiling in force, or may do so because its journal cannot be read.
func leavesCeiling(err error) bool {
	return errors.Is(err, enforce.ErrInForce) || errors.Is(err, cgroup.ErrBadJournal) || errors.Is(err, enforce.ErrNotAdopted)
}

// lockReason returns the condition for an error of the lock, in any mode: without it a ceiling in force cannot be released.
func lockReason(err error) (reason, message string) {
	if errors.Is(err, enforce.ErrLocked) {
		return resources.ReasonNoLock, err.Error()
	}

	return enforcementReason(err, config.ModeEnforce)
}

// enforcementReason returns the condition for an error of a ceiling. In mode observe nothing is to be written, so nothing
// prevents it, but a ceiling in force is to be released.
func enforcementReason(err error, mode config.Mode) (reason, message string) {
	observing := ": only observing"
	if errors.Is(err, enforce.ErrInForce) {
		observing = "" // a ceiling is in force
	}

	switch {
	case err == nil, mode == config.ModeObserve && !leavesCeiling(err):
		return resources.ReasonOK, ""
	case errors.Is(err, errStale):
		return resources.ReasonNoDecisions, err.Error()
	case errors.Is(err, cgroup.ErrBadJournal):
		return resources.ReasonBadJournal, err.Error()
	case errors.Is(err, enforce.ErrNotAdopted):
		return resources.ReasonNotAdopted, err.Error()
	case cgroup.IsNotPermitted(err):
		return resources.ReasonNotPermitted,
			err.Error() + observing + "; mount /sys/fs/cgroup writable into the service, and let SELinux allow it"
	case errors.Is(err, cgroup.ErrNoController):
		return resources.ReasonNoController, err.Error() + observing
	case errors.Is(err, cgroup.ErrThreaded):
		return resources.ReasonThreaded, err.Error() + observing
	case errors.Is(err, cgroup.ErrFrozen):
		return resources.ReasonFrozen, err.Error() + observing
	default:
		return resources.ReasonWriteError, err.Error()
	}
}
