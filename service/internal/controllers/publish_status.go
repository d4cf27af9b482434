// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"fmt"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/safe"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// publishStatus updates the GuardStatus and logs a change of the state.
func publishStatus(ctx context.Context, r controller.Writer, status resources.GuardStatusSpec, logger *zap.Logger) error {
	err := safe.WriterModify(ctx, r, resources.NewGuardStatus(resources.GuardStatusID), func(res *resources.GuardStatus) error {
		spec := res.TypedSpec()
		status.SinceClock = spec.SinceClock

		if spec.State != status.State {
			status.SinceClock = boottime.Now()

			logger.Info("guard state changed", zap.String("mode", status.Mode), zap.String("state", status.State),
				zap.String("before", spec.State), zap.String("message", status.Message))
		}

		*spec = status
		resources.SetTimes(spec, boottime.Wall)

		return nil
	})
	if err != nil {
		return fmt.Errorf("failed to publish the status of the guard: %w", err)
	}

	return nil
}
