// SPDX-License-Identifier: MPL-2.0

//go:build linux

package override_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/override"
)

// broken is a state in which one verb fails for one type.
type broken struct {
	state.CoreState
	verb string
	kind resource.Type
}

var errBroken = errors.New("the state is broken")

func (b broken) fails(verb string, kind resource.Type) error {
	if verb == b.verb && kind == b.kind {
		return errBroken
	}

	return nil
}

// Get implements state.CoreState.
func (b broken) Get(ctx context.Context, pointer resource.Pointer, opts ...state.GetOption) (resource.Resource, error) {
	if err := b.fails("get", pointer.Type()); err != nil {
		return nil, err
	}

	return b.CoreState.Get(ctx, pointer, opts...)
}

// List implements state.CoreState.
func (b broken) List(ctx context.Context, kind resource.Kind, opts ...state.ListOption) (resource.List, error) {
	if err := b.fails("list", kind.Type()); err != nil {
		return resource.List{}, err
	}

	return b.CoreState.List(ctx, kind, opts...)
}

// Create implements state.CoreState.
func (b broken) Create(ctx context.Context, r resource.Resource, opts ...state.CreateOption) error {
	if err := b.fails("create", r.Metadata().Type()); err != nil {
		return err
	}

	return b.CoreState.Create(ctx, r, opts...)
}

func TestManager_ReturnsErrorsOfTheState(t *testing.T) {
	for name, test := range map[string]broken{
		"configuration": {verb: "get", kind: resources.GuardConfigType},
		"targets":       {verb: "list", kind: resources.TargetType},
		"actions":       {verb: "create", kind: resources.GuardActionType},
		"overrides":     {verb: "list", kind: resources.OverrideType},
		"override":      {verb: "create", kind: resources.OverrideType},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, config.ModeEnforce)
			test.CoreState = n.state
			n.state = state.WrapCore(test)

			err := n.open(t)
			assert.Equal(t, test.verb == "list" && test.kind == resources.OverrideType, err != nil, "only publishing needs the state")

			_, err = n.Throttle(t.Context(), override.Request{Target: one, For: time.Minute}, 200)
			require.ErrorIs(t, err, errBroken)
		})
	}
}

// TestManager_SavesNoRefusedOverride: an override that was refused is not in force after a restart either.
func TestManager_SavesNoRefusedOverride(t *testing.T) {
	n := newNode(t, config.ModeEnforce)
	intact := n.state
	n.state = state.WrapCore(broken{CoreState: intact, verb: "create", kind: resources.GuardActionType})
	require.NoError(t, n.open(t))

	_, err := n.Throttle(t.Context(), override.Request{Target: one, For: time.Minute}, 200)
	require.ErrorIs(t, err, errBroken)
	assert.Empty(t, n.inForce(t))

	n.state = intact
	require.NoError(t, n.restart(t))
	assert.Empty(t, n.inForce(t))
}
