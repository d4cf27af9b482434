// SPDX-License-Identifier: MPL-2.0

//go:build linux

package override_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/override"
)

// broken is a state in which one verb fails for one type until it is repaired.
type broken struct {
	state.CoreState
	verb     string
	kind     resource.Type
	repaired *atomic.Bool
}

var errBroken = errors.New("the state is broken")

func (b broken) fails(verb string, kind resource.Type) error {
	if verb == b.verb && kind == b.kind && !b.repaired.Load() {
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

// Destroy implements state.CoreState.
func (b broken) Destroy(ctx context.Context, pointer resource.Pointer, opts ...state.DestroyOption) error {
	if err := b.fails("destroy", pointer.Type()); err != nil {
		return err
	}

	return b.CoreState.Destroy(ctx, pointer, opts...)
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
			test.CoreState, test.repaired = n.state, &atomic.Bool{}
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
	n.state = state.WrapCore(broken{CoreState: intact, verb: "create", kind: resources.GuardActionType, repaired: &atomic.Bool{}})
	require.NoError(t, n.open(t))

	_, err := n.Throttle(t.Context(), override.Request{Target: one, For: time.Minute}, 200)
	require.ErrorIs(t, err, errBroken)
	assert.Empty(t, n.inForce(t))

	n.state = intact
	require.NoError(t, n.restart(t))
	assert.Empty(t, n.inForce(t))
	assert.Empty(t, n.actions(t))
}

// TestManager_PublishesLater: an override that is recorded is in force as soon as it can be published, and ends likewise.
func TestManager_PublishesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, config.ModeEnforce)
		intact := n.state

		create := broken{CoreState: intact, verb: "create", kind: resources.OverrideType, repaired: &atomic.Bool{}}
		destroy := broken{CoreState: create, verb: "destroy", kind: resources.OverrideType, repaired: &atomic.Bool{}}
		n.state = state.WrapCore(destroy)
		require.NoError(t, n.open(t))

		go n.keep(t.Context())

		_, err := n.Release(t.Context(), override.Request{Target: one, For: time.Hour})
		require.ErrorIs(t, err, errBroken)
		require.ErrorContains(t, err, "recorded and may not be in force yet")
		assert.Len(t, n.actions(t), 1)

		time.Sleep(10 * time.Minute)
		synctest.Wait()
		assert.Empty(t, n.inForce(t))

		create.repaired.Store(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Equal(t, map[string]string{one: resources.OverrideRelease}, n.inForce(t))

		// Its end cannot be published, and there is no other override whose end would come.
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.Len(t, n.inForce(t), 1)

		destroy.repaired.Store(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Empty(t, n.inForce(t))
		assert.Len(t, n.actions(t), 2, "each is recorded once")
	})
}

// keep runs the manager again after each error, as the service does.
func (n *node) keep(ctx context.Context) {
	for ctx.Err() == nil {
		if n.Run(ctx) != nil {
			time.Sleep(10 * time.Second)
		}
	}
}

// TestManager_PublishesSavedOverridesLater: those of an earlier process, too.
func TestManager_PublishesSavedOverridesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, config.ModeEnforce)

		_, err := n.Release(t.Context(), override.Request{Target: one, For: time.Hour})
		require.NoError(t, err)

		create := broken{CoreState: n.state, verb: "create", kind: resources.OverrideType, repaired: &atomic.Bool{}}
		n.state = state.WrapCore(create)
		require.ErrorIs(t, n.restart(t), errBroken)

		go n.keep(t.Context())

		create.repaired.Store(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Equal(t, map[string]string{one: resources.OverrideRelease}, n.inForce(t))
	})
}
