// SPDX-License-Identifier: MPL-2.0

//go:build linux

package override

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// publish updates the Override resources.
func (m *Manager) publish(ctx context.Context) error {
	published, err := safe.StateListAll[*resources.Override](ctx, m.state)
	if err != nil {
		return fmt.Errorf("error listing overrides: %w", err)
	}

	for override := range published.All() {
		if _, ok := m.overrides[override.Metadata().ID()]; ok {
			continue
		}

		if err := m.state.Destroy(ctx, override.Metadata()); err != nil && !state.IsNotFoundError(err) {
			return fmt.Errorf("error removing an override: %w", err)
		}
	}

	for id, entry := range m.overrides {
		err := safe.StateModify(ctx, m.state, resources.NewOverride(id), func(r *resources.Override) error {
			*r.TypedSpec() = entry.OverrideSpec

			return nil
		})
		if err != nil {
			return fmt.Errorf("error publishing an override: %w", err)
		}
	}

	return nil
}

// targets are the ids of the targets of a request; empty is all of them.
func (m *Manager) targets(ctx context.Context, id string) ([]string, error) {
	list, err := safe.StateListAll[*resources.Target](ctx, m.state)
	if err != nil {
		return nil, fmt.Errorf("error listing targets: %w", err)
	}

	var ids []string

	for target := range list.All() {
		ids = append(ids, target.Metadata().ID())
	}

	slices.Sort(ids)

	switch {
	case len(ids) == 0:
		return nil, fmt.Errorf("%w: the node has none", ErrNoTarget)
	case id == "":
		return ids, nil
	case slices.Contains(ids, id):
		return []string{id}, nil
	default:
		return nil, fmt.Errorf("%w; the node has %s", NoTarget(id), strings.Join(ids, ", "))
	}
}

// NoTarget is ErrNoTarget with the id in question.
func NoTarget(id string) error { return fmt.Errorf("%w: %q", ErrNoTarget, id) }

// active is the configuration in force.
func (m *Manager) active(ctx context.Context) (*resources.GuardConfigSpec, error) {
	active, err := safe.StateGetByID[*resources.GuardConfig](ctx, m.state, resources.GuardConfigID)
	if state.IsNotFoundError(err) || err == nil && active.TypedSpec().Document == "" {
		return nil, ErrNoConfig
	}

	if err != nil {
		return nil, fmt.Errorf("error reading the active configuration: %w", err)
	}

	return active.TypedSpec(), nil
}
