// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"fmt"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/safe"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/decide"
)

// desiredPublisher publishes the desired ceiling of one target.
type desiredPublisher struct {
	last   decide.DesiredCeiling
	exists bool
}

// publish updates the resource when something changed. It reports whether the ceiling itself did: not only the time
// until its release.
func (p *desiredPublisher) publish(ctx context.Context, r controller.Writer, id resource.ID, desired *decide.DesiredCeiling) (bool, error) {
	if p.exists && p.last.Equal(desired) {
		return false, nil
	}

	if err := modifyDesiredCeiling(ctx, r, id, *desired); err != nil {
		return false, err // and published again
	}

	changed := !p.exists || p.last.Millicores != desired.Millicores || p.last.Probing != desired.Probing || p.last.Rule != desired.Rule
	p.last, p.exists = *desired, true

	return changed, nil
}

// modifyDesiredCeiling is apart, so that its closure is allocated only when it is called.
func modifyDesiredCeiling(ctx context.Context, r controller.Writer, id resource.ID, desired decide.DesiredCeiling) error {
	err := safe.WriterModify(ctx, r, resources.NewDesiredCeiling(id), func(res *resources.DesiredCeiling) error {
		spec := res.TypedSpec()

		spec.Mode, spec.Conflict = string(config.ModeEnforce), string(config.ConflictReassert)

		if desired.Observe {
			spec.Mode = string(config.ModeObserve)
		}

		if desired.Yield {
			spec.Conflict = string(config.ConflictYield)
		}

		spec.CeilingMillicores, spec.FloorMillicores, spec.Probing = desired.Millicores, desired.FloorMillicores, desired.Probing
		spec.Rule, spec.Reason, spec.YieldedClock = desired.Rule, desired.Reason, desired.YieldedSince
		spec.SinceClock, spec.HoldUntilClock = desired.Since, desired.Until
		spec.ReleasesIn, spec.Blockers = desired.ReleasesIn, desired.Blockers
		spec.Quiet, spec.ProbesIn, spec.FailedProbes = desired.Quiet, desired.ProbesIn, uint64(desired.FailedProbes)
		resources.SetTimes(spec, boottime.Wall)

		return nil
	})
	if err != nil {
		return fmt.Errorf("failed to publish the desired ceiling of %s: %w", id, err)
	}

	return nil
}

// withdraw removes the resource.
func (p *desiredPublisher) withdraw(ctx context.Context, r controller.Writer, id resource.ID) error {
	if err := ignoreNotFound(r.Destroy(ctx, resources.NewDesiredCeiling(id).Metadata())); err != nil {
		return fmt.Errorf("failed to remove the desired ceiling of %s: %w", id, err)
	}

	*p = desiredPublisher{}

	return nil
}
