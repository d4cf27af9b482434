// SPDX-License-Identifier: MPL-2.0

//go:build linux

package record

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/impl/inmem"
	"github.com/cosi-project/runtime/pkg/state/impl/namespaced"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

func newState(t *testing.T) state.State {
	t.Helper()

	st := state.WrapCore(namespaced.NewState(inmem.Build))
	require.NoError(t, resources.Register(t.Context(), st))

	return st
}

func TestActions_IDsSortBySequence(t *testing.T) {
	assert.Equal(t, "000001", id(1))
	assert.Equal(t, "000050", id(50))
	assert.Equal(t, "123456", id(123456))
	assert.Equal(t, "1234567", id(1234567))
}

func TestActions_KeepsTheNewest(t *testing.T) {
	st := newState(t)
	core, logs := observer.New(zap.InfoLevel)

	observed := 0
	actions := NewActions(st, zap.New(core), func(*resources.GuardActionSpec) { observed++ })

	const count = resources.MaxGuardActions + 10

	for i := range count {
		require.NoError(t, actions.Record(t.Context(), resources.GuardActionSpec{Action: resources.ActionApply, Reason: fmt.Sprint(i)}))
	}

	list, err := safe.StateListAll[*resources.GuardAction](t.Context(), st)
	require.NoError(t, err)
	require.Equal(t, resources.MaxGuardActions, list.Len())
	assert.Equal(t, "10", list.Get(0).TypedSpec().Reason, "the oldest that is kept")
	assert.Equal(t, fmt.Sprint(count-1), list.Get(list.Len()-1).TypedSpec().Reason)
	assert.Equal(t, count, logs.Len(), "each is logged")
	assert.Equal(t, count, observed)
}

func TestActions_CompletesTimeAndMode(t *testing.T) {
	st := newState(t)
	actions := NewActions(st, zap.NewNop())
	at := boottime.Now() - time.Second

	require.NoError(t, actions.Record(t.Context(), resources.GuardActionSpec{Reason: "no configuration yet"}))

	active := resources.NewGuardConfig(resources.GuardConfigID)
	active.TypedSpec().Mode = "enforce"
	require.NoError(t, st.Create(t.Context(), active))

	require.NoError(t, actions.Record(t.Context(), resources.GuardActionSpec{}, resources.GuardActionSpec{Clock: at, Mode: "observe"}))

	list, err := safe.StateListAll[*resources.GuardAction](t.Context(), st)
	require.NoError(t, err)
	require.Equal(t, 3, list.Len())
	assert.Empty(t, list.Get(0).TypedSpec().Mode)
	assert.Equal(t, "enforce", list.Get(1).TypedSpec().Mode)
	assert.WithinDuration(t, time.Now(), list.Get(1).TypedSpec().At, time.Hour)
	assert.Equal(t, "observe", list.Get(2).TypedSpec().Mode)
	assert.Equal(t, boottime.Wall(at), list.Get(2).TypedSpec().At)
}

func TestActions_LogsWhoAskedAndUntilWhen(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	actions := NewActions(newState(t), zap.New(core))
	until := time.Unix(100, 0)

	actions.Log(resources.GuardActionSpec{
		Action: resources.ActionPause, By: resources.Person{Subject: "CN=anna", From: "10.0.0.1:1"}, Until: until, Reaction: time.Millisecond,
	})

	fields := logs.All()[0].ContextMap()
	assert.Equal(t, "CN=anna", fields["by"])
	assert.Equal(t, "10.0.0.1:1", fields["from"])
	assert.Equal(t, until, fields["until"])
	assert.Equal(t, time.Millisecond, fields["reaction"])

	actions.Log(resources.GuardActionSpec{Action: resources.ActionApply, Mode: "enforce"})

	fields = logs.All()[1].ContextMap()
	assert.Equal(t, "enforce", fields["mode"])

	for _, field := range []string{"by", "until", "reaction"} {
		assert.NotContains(t, fields, field)
	}
}

// full is a state that takes no actions.
type full struct{ state.CoreState }

var errFull = errors.New("full")

// Create implements state.CoreState.
func (full) Create(context.Context, resource.Resource, ...state.CreateOption) error { return errFull }

// TestActions_LogsWhatItCannotPublish: an action was taken, whether it can be published or not.
func TestActions_LogsWhatItCannotPublish(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	observed := 0
	actions := NewActions(state.WrapCore(full{newState(t)}), zap.New(core), func(*resources.GuardActionSpec) { observed++ })

	require.ErrorIs(t, actions.Record(t.Context(), resources.GuardActionSpec{}, resources.GuardActionSpec{}), errFull)
	assert.Equal(t, 2, logs.FilterMessage("action recorded").Len())
	assert.Equal(t, 2, observed)
}
