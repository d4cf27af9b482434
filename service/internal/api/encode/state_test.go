// SPDX-License-Identifier: MPL-2.0

package encode_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/protobuf"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/impl/inmem"
	"github.com/cosi-project/runtime/pkg/state/impl/namespaced"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/api/encode"
)

func newState(t *testing.T) (state.State, *encode.State) {
	t.Helper()

	st := state.WrapCore(namespaced.NewState(inmem.Build))
	require.NoError(t, resources.Register(t.Context(), st))

	return st, encode.New(st)
}

func create(t *testing.T, st state.State, id, rule string) *resources.Verdict {
	t.Helper()

	verdict := resources.NewVerdict(id)
	verdict.TypedSpec().Rule = rule
	require.NoError(t, st.Create(t.Context(), verdict))

	return verdict
}

// same requires that a resource is encoded as the runtime encodes it.
func same(t *testing.T, want, got resource.Resource) {
	t.Helper()

	require.IsType(t, &protobuf.Resource{}, got)

	encoded, err := protobuf.FromResource(want)
	require.NoError(t, err)
	assert.Equal(t, encoded.Spec(), got.Spec())
	assert.True(t, want.Metadata().Equal(*got.Metadata()))
}

func TestState_EncodesOnce(t *testing.T) {
	st, encoded := newState(t)
	want := create(t, st, "a", "CPU")

	first, err := encoded.Get(t.Context(), want.Metadata())
	require.NoError(t, err)
	same(t, want, first)

	list, err := encoded.List(t.Context(), want.Metadata())
	require.NoError(t, err)
	require.Len(t, list.Items, 1)
	assert.Same(t, first, list.Items[0])

	_, err = encoded.Get(t.Context(), resources.NewVerdict("none").Metadata())
	assert.True(t, state.IsNotFoundError(err))
}

// TestState_KnowsAnotherContent: an update, and a resource that was removed and created again.
func TestState_KnowsAnotherContent(t *testing.T) {
	st, encoded := newState(t)
	want := create(t, st, "a", "CPU")

	for _, change := range []func(){
		func() {
			_, err := safe.StateUpdateWithConflicts(t.Context(), st, want.Metadata(), func(v *resources.Verdict) error {
				v.TypedSpec().Rule = "TX"

				return nil
			})
			require.NoError(t, err)
		},
		func() {
			require.NoError(t, st.Destroy(t.Context(), want.Metadata()))
			create(t, st, "a", "Allocation")
		},
	} {
		change()

		now, err := safe.StateGet[*resources.Verdict](t.Context(), st, want.Metadata())
		require.NoError(t, err)

		got, err := encoded.Get(t.Context(), want.Metadata())
		require.NoError(t, err)
		same(t, now, got)
	}
}

func TestState_Watches(t *testing.T) {
	st, encoded := newState(t)
	one, kind, aggregated := make(chan state.Event), make(chan state.Event), make(chan []state.Event)
	pointer := resources.NewVerdict("a").Metadata()

	require.NoError(t, encoded.Watch(t.Context(), pointer, one))
	require.NoError(t, encoded.WatchKind(t.Context(), pointer, kind))
	require.NoError(t, encoded.WatchKindAggregated(t.Context(), pointer, aggregated))

	next := func(events <-chan state.Event) state.Event {
		select {
		case event := <-events:
			return event
		case <-time.After(time.Minute):
			require.Fail(t, "no event")

			return state.Event{}
		}
	}

	assert.Equal(t, state.Destroyed, next(one).Type, "it does not exist yet")

	want := create(t, st, "a", "CPU")
	first := next(one)
	same(t, want, first.Resource)
	assert.Same(t, first.Resource, next(kind).Resource)
	assert.Same(t, first.Resource, (<-aggregated)[0].Resource)

	_, err := safe.StateUpdateWithConflicts(t.Context(), st, want.Metadata(), func(v *resources.Verdict) error {
		v.TypedSpec().Rule = "TX"

		return nil
	})
	require.NoError(t, err)

	changed := next(one)
	assert.Equal(t, state.Updated, changed.Type)
	assert.Same(t, first.Resource, changed.Old)
}

// TestState_HasTextForColumns: talosctl prints columns from the YAML. The resource itself is not changed.
func TestState_HasTextForColumns(t *testing.T) {
	st, encoded := newState(t)

	stats := resources.NewTargetStats("a")
	stats.TypedSpec().TXBytesPerSecond = resources.Measured(1.3507173121950468e+06)
	require.NoError(t, st.Create(t.Context(), stats))

	got, err := encoded.Get(t.Context(), stats.Metadata())
	require.NoError(t, err)

	document, err := resource.MarshalYAML(got)
	require.NoError(t, err)

	text, err := yaml.Marshal(document)
	require.NoError(t, err)
	assert.Contains(t, string(text), "tx: 1.4 MB/s")
	assert.Contains(t, string(text), "value: 1.3507173121950468e+06", "for programs")
	assert.Nil(t, stats.TypedSpec().Pretty)
}

// TestState_KeepsFew versions, and encodes what it forgot again.
func TestState_KeepsFew(t *testing.T) {
	st, encoded := newState(t)

	var all []*resources.Verdict

	for i := range 1000 {
		all = append(all, create(t, st, fmt.Sprint(i), "CPU"))
	}

	for range 2 {
		for _, want := range all {
			got, err := encoded.Get(t.Context(), want.Metadata())
			require.NoError(t, err)
			same(t, want, got)
		}
	}

	assert.LessOrEqual(t, encoded.Len(), 256)
}
