// SPDX-License-Identifier: MPL-2.0

//go:build linux

package override

import (
	"context"
	"errors"
	"fmt"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// replace records, saves and publishes the overrides, in this order: an override is on record before it has an effect, and one that
// cannot be recorded is not saved either. If saving fails it is logged, the overrides are in force all the same,
// and the file of the overrides before is removed.
func (m *Manager) replace(ctx context.Context, next map[string]resources.OverrideSpec, actions []resources.GuardActionSpec) error {
	// A caller that disconnects must not leave some of the targets without its override.
	ctx = context.WithoutCancel(ctx)

	if err := m.actions.Require(ctx, actions...); err != nil {
		return err
	}

	if err := m.file.Save(next); err != nil {
		// After a restart the old file would put in force again what has ended.
		err = errors.Join(err, m.file.Remove())
		m.logger.Error("failed to save overrides, a restart of the service ends them", zap.Error(err))
	}

	m.overrides = next

	select {
	case m.changed <- struct{}{}:
	default:
	}

	return m.publish(ctx)
}

// publish makes the Override resources equal to the overrides.
func (m *Manager) publish(ctx context.Context) error {
	published, err := safe.StateListAll[*resources.Override](ctx, m.state)
	if err != nil {
		return fmt.Errorf("failed to list overrides: %w", err)
	}

	for override := range published.All() {
		id := override.Metadata().ID()

		if _, ok := m.overrides[id]; ok {
			continue
		}

		if err := m.state.Destroy(ctx, override.Metadata()); err != nil && !state.IsNotFoundError(err) {
			return fmt.Errorf("failed to remove the override of %s: %w", id, err)
		}
	}

	for id, spec := range m.overrides {
		err := safe.StateModify(ctx, m.state, resources.NewOverride(id), func(r *resources.Override) error {
			*r.TypedSpec() = spec
			resources.SetTimes(r.TypedSpec(), boottime.Wall) // the system's clock may have been set since

			return nil
		})
		if err != nil {
			return fmt.Errorf("failed to publish the override of %s: %w", id, err)
		}
	}

	return nil
}
