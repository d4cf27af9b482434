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
)

// reportCondition says what keeps ceilings from being written.
func (c *CeilingController) reportCondition(ctx context.Context, r controller.Runtime, logger *zap.Logger) error {
	reason, message := resources.ReasonOK, ""

	for _, ceiling := range c.ceilings {
		if err := ceiling.Err(); err != nil && c.config.Mode != config.ModeObserve {
			reason, message = conditionOf(err)
		}
	}

	return c.report(ctx, r, logger, reason, message)
}

// report says how enforcement is, when that is news.
func (c *CeilingController) report(ctx context.Context, r controller.Writer, logger *zap.Logger, reason, message string) error {
	if c.reported == [2]string{reason, message} {
		return nil
	}

	changed, err := setCondition(ctx, r, resources.ConditionEnforcement, reason, message)
	if err != nil {
		return err
	}

	c.reported = [2]string{reason, message}

	if changed {
		logger.Info("enforcement", zap.String("mode", string(c.config.Mode)), zap.String("reason", reason), zap.String("message", message))
	}

	return nil
}

// conditionOf is what an error means, and what to do about it.
func conditionOf(err error) (reason, message string) {
	const observing = ": only observing"

	switch {
	case cgroup.IsNotPermitted(err):
		return resources.ReasonNotPermitted,
			err.Error() + observing + "; the service needs /sys/fs/cgroup mounted writable, and SELinux must allow it"
	case errors.Is(err, cgroup.ErrNoController):
		return resources.ReasonNoController, err.Error() + observing
	case errors.Is(err, cgroup.ErrThreaded):
		return resources.ReasonThreaded, err.Error() + observing
	case errors.Is(err, cgroup.ErrFrozen):
		return resources.ReasonFrozen, err.Error() + observing
	case errors.Is(err, cgroup.ErrBadJournal):
		return resources.ReasonBadJournal, err.Error()
	default:
		return resources.ReasonWriteError, err.Error()
	}
}
