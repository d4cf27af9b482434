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

// failing is a state that neither creates nor destroys while it has an error, and counts what is read of it.
type failing struct {
	state.CoreState

	create, destroy error
	reads           int
	// after is how many resources it creates before it fails.
	after int
}

var errFull = errors.New("full")

// Get implements state.CoreState.
func (f *failing) Get(ctx context.Context, pointer resource.Pointer, opts ...state.GetOption) (resource.Resource, error) {
	f.reads++

	return f.CoreState.Get(ctx, pointer, opts...)
}

// Create implements state.CoreState.
func (f *failing) Create(ctx context.Context, r resource.Resource, opts ...state.CreateOption) error {
	if f.after--; f.after < 0 && f.create != nil {
		return f.create
	}

	return f.CoreState.Create(ctx, r, opts...)
}

// Destroy implements state.CoreState.
func (f *failing) Destroy(ctx context.Context, pointer resource.Pointer, opts ...state.DestroyOption) error {
	if f.destroy != nil {
		return f.destroy
	}

	return f.CoreState.Destroy(ctx, pointer, opts...)
}

// recording is a record over a state that fails.
type recording struct {
	*Actions

	failing  *failing
	logs     *observer.ObservedLogs
	observed int
}

func newRecording(t *testing.T) *recording {
	t.Helper()

	core, logs := observer.New(zap.InfoLevel)
	r := &recording{failing: &failing{CoreState: newState(t)}, logs: logs}
	r.Actions = NewActions(state.WrapCore(r.failing), zap.New(core), func(*resources.GuardActionSpec) { r.observed++ })

	return r
}

// reasons returns those of the published actions, oldest first.
func (r *recording) reasons(t *testing.T) []string {
	t.Helper()

	list, err := safe.StateListAll[*resources.GuardAction](t.Context(), r.state)
	require.NoError(t, err)

	var reasons []string

	for action := range list.All() {
		reasons = append(reasons, action.TypedSpec().Reason)
	}

	return reasons
}

// assertRecorded checks how many actions were logged and counted.
func (r *recording) assertRecorded(t *testing.T, count int) {
	t.Helper()
	assert.Equal(t, count, r.logs.FilterMessage("action recorded").Len())
	assert.Equal(t, count, r.observed)
}

func because(reason string) resources.GuardActionSpec {
	return resources.GuardActionSpec{Reason: reason}
}

// TestActions_PublishesLater: an action was taken, whether it can be published or not.
func TestActions_PublishesLater(t *testing.T) {
	r := newRecording(t)
	r.failing.create = errFull

	require.ErrorIs(t, r.Record(t.Context(), because("first"), because("second")), errFull)
	require.ErrorIs(t, r.Record(t.Context(), because("third")), errFull)
	r.assertRecorded(t, 3)
	assert.Empty(t, r.reasons(t))

	r.failing.create = nil
	require.NoError(t, r.Record(t.Context()))
	assert.Equal(t, []string{"first", "second", "third"}, r.reasons(t))

	require.NoError(t, r.Record(t.Context(), because("fourth")))
	assert.Equal(t, []string{"first", "second", "third", "fourth"}, r.reasons(t))
	r.assertRecorded(t, 4)
}

// TestActions_ReadsNothingWithoutActions: CeilingController records at each tick.
func TestActions_ReadsNothingWithoutActions(t *testing.T) {
	r := newRecording(t)

	require.NoError(t, r.Record(t.Context()))
	assert.Zero(t, r.failing.reads)
}

func TestActions_BoundsWhatIsPublishedLater(t *testing.T) {
	r := newRecording(t)
	r.failing.create = errFull

	const count = resources.MaxGuardActions + 10

	for i := range count {
		require.ErrorIs(t, r.Record(t.Context(), because(fmt.Sprint(i))), errFull)
	}

	r.failing.create = nil
	require.NoError(t, r.Record(t.Context()))

	reasons := r.reasons(t)
	require.Len(t, reasons, resources.MaxGuardActions)
	assert.Equal(t, "10", reasons[0])
	assert.Equal(t, fmt.Sprint(count-1), reasons[resources.MaxGuardActions-1])
	r.assertRecorded(t, count)
}

// TestActions_RemovesOutdatedLater: the new action is on record all the same.
func TestActions_RemovesOutdatedLater(t *testing.T) {
	r := newRecording(t)

	for i := range resources.MaxGuardActions {
		require.NoError(t, r.Record(t.Context(), because(fmt.Sprint(i))))
	}

	r.failing.destroy = errFull
	require.ErrorIs(t, r.Record(t.Context(), because("new")), errFull)
	assert.Len(t, r.reasons(t), resources.MaxGuardActions+1)

	r.failing.destroy = nil
	require.NoError(t, r.Record(t.Context()))

	reasons := r.reasons(t)
	require.Len(t, reasons, resources.MaxGuardActions)
	assert.Equal(t, "1", reasons[0])
	assert.Equal(t, "new", reasons[resources.MaxGuardActions-1])
	r.assertRecorded(t, resources.MaxGuardActions+1)
}

// TestActions_RequireRecordsAllOrNone: what is refused is not on record, not even later.
func TestActions_RequireRecordsAllOrNone(t *testing.T) {
	r := newRecording(t)
	r.failing.create, r.failing.after = errFull, 1

	require.ErrorIs(t, r.Require(t.Context(), because("first"), because("second")), errFull)
	assert.Empty(t, r.reasons(t))

	r.failing.create = nil
	require.NoError(t, r.Record(t.Context()))
	assert.Empty(t, r.reasons(t))
	r.assertRecorded(t, 0)

	require.NoError(t, r.Require(t.Context(), because("third"), because("fourth")))
	assert.Equal(t, []string{"third", "fourth"}, r.reasons(t))
	r.assertRecorded(t, 2)
}

// TestActions_RequireKeepsTheOrder: what was done before is published first.
func TestActions_RequireKeepsTheOrder(t *testing.T) {
	r := newRecording(t)
	r.failing.create = errFull
	require.ErrorIs(t, r.Record(t.Context(), because("done")), errFull)

	r.failing.create = nil
	require.NoError(t, r.Require(t.Context(), because("required")))
	assert.Equal(t, []string{"done", "required"}, r.reasons(t))
}
