// SPDX-License-Identifier: MPL-2.0

//go:build linux

package override

import (
	"context"
	"fmt"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/persist"
)

// replace records, saves and publishes the overrides, in this order: an override is on record before it has an effect, and one that
// cannot be recorded is not saved either. What cannot be saved or published then is tried again by Run.
func (m *Manager) replace(ctx context.Context, next map[string]resources.OverrideSpec, actions []resources.GuardActionSpec) error {
	// A caller that disconnects must not leave some of the targets without its override.
	ctx = context.WithoutCancel(ctx)

	if err := m.actions.Require(ctx, actions...); err != nil {
		return err
	}

	m.overrides, m.unsaved, m.unpublished = next, true, true

	select {
	case m.changed <- struct{}{}:
	default:
	}

	if err := m.settle(ctx); err != nil {
		return fmt.Errorf("failed to publish the overrides, trying again (the change is recorded and may not be in force yet): %w", err)
	}

	return nil
}

// settle saves and publishes the overrides if that is not done yet. They are in force all the same if they cannot be saved.
func (m *Manager) settle(ctx context.Context) error {
	if m.unsaved {
		m.save()
	}

	if !m.unpublished {
		return nil
	}

	err := m.publish(ctx)
	m.unpublished = err != nil

	return err
}

// save saves the overrides, or removes the file of those before. A failure is logged once until it has another effect or saving succeeds.
func (m *Manager) save() {
	stale, err := m.file.SaveOrRemove(m.overrides)
	m.saveLog.Add(m.logger, saveMessages, stale, err)
	m.unsaved = err != nil
}

var saveMessages = persist.Messages{
	Removed: "failed to save overrides, a restart of the service ends them",
	Stale:   "failed to save and to remove overrides, a restart of the service continues those that were saved last",
	Again:   "overrides are saved again",
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
