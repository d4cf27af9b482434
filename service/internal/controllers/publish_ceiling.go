// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"errors"
	"fmt"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/safe"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// ceilingPublisher publishes the ceilings of all targets as the kernel has them. Their times of day are set when they are
// written: last has none.
type ceilingPublisher struct {
	last map[resource.ID]resources.CeilingStatusSpec
}

// publish updates a target's resource when its status changed; a status without a state removes it.
func (p *ceilingPublisher) publish(ctx context.Context, r controller.Writer, id resource.ID, status resources.CeilingStatusSpec) error {
	if p.last[id] == status {
		return nil
	}

	if status.State == "" {
		if err := ignoreNotFound(r.Destroy(ctx, resources.NewCeilingStatus(id).Metadata())); err != nil {
			return fmt.Errorf("failed to remove the ceiling of %s: %w", id, err)
		}

		delete(p.last, id)

		return nil
	}

	err := safe.WriterModify(ctx, r, resources.NewCeilingStatus(id), func(s *resources.CeilingStatus) error {
		*s.TypedSpec() = status
		resources.SetTimes(s.TypedSpec(), boottime.Wall)

		return nil
	})
	if err != nil {
		return fmt.Errorf("failed to publish the ceiling of %s: %w", id, err)
	}

	p.last[id] = status

	return nil
}

// withdraw removes the resources of targets that are gone.
func (p *ceilingPublisher) withdraw(ctx context.Context, r controller.Writer, targets map[resource.ID]resources.TargetSpec) error {
	var errs error

	for id := range p.last {
		if _, present := targets[id]; !present {
			errs = errors.Join(errs, p.publish(ctx, r, id, resources.CeilingStatusSpec{}))
		}
	}

	return errs
}
