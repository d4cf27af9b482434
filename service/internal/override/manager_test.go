// SPDX-License-Identifier: MPL-2.0

//go:build linux

package override_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/impl/inmem"
	"github.com/cosi-project/runtime/pkg/state/impl/namespaced"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/override"
	"github.com/spegel-guard/spegel-guard/service/internal/persist"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

const one, other = "spegel/spegel-a/registry", "spegel/spegel-b/registry"

var anna = resources.Person{Subject: "CN=anna,O=os:operator", Fingerprint: "ab", From: "10.0.0.1:1"}

type bench struct {
	state   state.State
	manager *override.Manager
	file    persist.File[override.Entry]
}

func newBench(t *testing.T, mode config.Mode) *bench {
	t.Helper()

	st := state.WrapCore(namespaced.NewState(inmem.Build))
	require.NoError(t, resources.Register(t.Context(), st))

	cfg := config.Default()
	cfg.Mode = mode

	document, err := config.Marshal(cfg)
	require.NoError(t, err)

	active := resources.NewGuardConfig(resources.GuardConfigID)
	active.TypedSpec().Document, active.TypedSpec().Mode = string(document), string(mode)
	require.NoError(t, st.Create(t.Context(), active))

	for _, id := range []string{one, other} {
		require.NoError(t, st.Create(t.Context(), resources.NewTarget(id)))
	}

	d := &bench{state: st, file: persist.File[override.Entry]{Path: filepath.Join(t.TempDir(), "run", "overrides.json"), BootID: "this"}}
	d.open(t)

	return d
}

// open is what a start of the guard does.
func (d *bench) open(t *testing.T) {
	t.Helper()

	overrides, err := override.NewManager(t.Context(), d.state, record.NewLog(d.fresh(t), zap.NewNop()), d.file, zap.NewNop())
	require.NoError(t, err)

	d.manager = overrides
}

// fresh is the state, without the record of an earlier process.
func (d *bench) fresh(t *testing.T) state.State {
	t.Helper()

	for _, action := range d.actions(t) {
		require.NoError(t, d.state.Destroy(t.Context(), action.Metadata()))
	}

	return d.state
}

func (d *bench) actions(t *testing.T) []*resources.GuardAction {
	t.Helper()

	list, err := safe.StateListAll[*resources.GuardAction](t.Context(), d.state)
	require.NoError(t, err)

	var all []*resources.GuardAction

	for action := range list.All() {
		all = append(all, action)
	}

	return all
}

// inForce are the kinds of the orders in force, by what they are about.
func (d *bench) inForce(t *testing.T) map[string]string {
	t.Helper()

	list, err := safe.StateListAll[*resources.Override](t.Context(), d.state)
	require.NoError(t, err)

	kinds := map[string]string{}

	for request := range list.All() {
		kinds[request.Metadata().ID()] = request.TypedSpec().Kind
	}

	return kinds
}

func TestManager_PublishesAndRecords(t *testing.T) {
	d := newBench(t, config.ModeEnforce)
	before := time.Now()

	_, err := d.manager.Throttle(t.Context(), override.Request{By: anna, Target: one, For: time.Minute, Reason: "NAS is slow"}, 200)
	require.NoError(t, err)

	after := time.Now()

	given, err := d.manager.Pause(t.Context(), override.Request{By: anna, For: time.Hour})
	require.NoError(t, err)
	require.Len(t, given, 1)
	assert.Equal(t, time.Hour, given[0].UntilClock-given[0].SinceClock)

	assert.Equal(t, map[string]string{one: resources.OverrideThrottle, resources.OverridePauseID: resources.OverridePause}, d.inForce(t))

	actions := d.actions(t)
	require.Len(t, actions, 2)

	spec := actions[0].TypedSpec()
	assert.Equal(t, resources.ActionThrottle, spec.Action)
	assert.Equal(t, one, spec.Target)
	assert.Equal(t, anna, spec.By)
	assert.Equal(t, "throttle to 200m for 1m0s: NAS is slow", spec.Reason)
	assert.Equal(t, "enforce", spec.Mode)
	assert.WithinRange(t, spec.Until, before.Add(time.Minute), after.Add(time.Minute))

	// The newest order about a target counts; no target is every target.
	_, err = d.manager.Release(t.Context(), override.Request{By: anna, For: time.Minute})
	require.NoError(t, err)
	assert.Equal(t, map[string]string{
		one: resources.OverrideRelease, other: resources.OverrideRelease, resources.OverridePauseID: resources.OverridePause,
	}, d.inForce(t))

	ended, err := d.manager.Resume(t.Context(), override.Request{By: anna, Target: one})
	require.NoError(t, err)
	require.Len(t, ended, 1)

	ended, err = d.manager.Resume(t.Context(), override.Request{By: anna})
	require.NoError(t, err)
	assert.Len(t, ended, 2)
	assert.Empty(t, d.inForce(t))

	last := d.actions(t)
	assert.Equal(t, resources.ActionResume, last[len(last)-1].TypedSpec().Action)
	assert.Equal(t, anna, last[len(last)-1].TypedSpec().By)
	assert.NoFileExists(t, d.file.Path, "nothing to remember")
}

func TestManager_RefusesInvalidRequests(t *testing.T) {
	d := newBench(t, config.ModeEnforce)
	observing := newBench(t, config.ModeObserve)
	request := override.Request{By: anna, Target: one, For: time.Minute}

	throttle := func(d *bench, request override.Request, millicores int64) error {
		_, err := d.manager.Throttle(t.Context(), request, millicores)

		return err
	}
	with := func(change func(*override.Request)) override.Request {
		changed := request
		change(&changed)

		return changed
	}

	for _, test := range []struct {
		err  error
		want string
	}{
		{throttle(d, request, 99), `ceiling: "99m" is not allowed, allowed is 100m (ceiling.floor) to 1024 cores`},
		{throttle(d, request, 0), `ceiling: "0" is not allowed`},
		{throttle(d, request, 2_000_000), `ceiling: "2k" is not allowed`},
		{throttle(d, with(func(o *override.Request) { o.For = 0 }), 200), `for: "0s" is not allowed, allowed is a duration of 1s..24h0m0s`},
		{throttle(d, with(func(o *override.Request) { o.For = 25 * time.Hour }), 200), `for: "25h0m0s" is not allowed`},
		{throttle(d, with(func(o *override.Request) { o.Reason = strings.Repeat("x", 257) }), 200), `reason: "xxxx`},
		{throttle(d, with(func(o *override.Request) { o.Target = "a/b/c" }), 200), `no such target: "a/b/c"; the node has ` + one + ", " + other},
		{throttle(observing, request, 200), "the mode is observe"},
	} {
		assert.ErrorContains(t, test.err, test.want)
	}

	assert.ErrorIs(t, throttle(observing, request, 200), override.ErrObserving)
	assert.Empty(t, d.inForce(t))
	assert.Empty(t, d.actions(t))

	// Taking ceilings back is possible in any mode.
	_, err := observing.manager.Release(t.Context(), request)
	assert.NoError(t, err)
}

func TestManager_ExpiresOverrides(t *testing.T) {
	d := newBench(t, config.ModeEnforce)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)

	go func() { done <- d.manager.Run(ctx) }()

	// A long one first: a shorter one after it is noticed.
	_, err := d.manager.Release(ctx, override.Request{By: anna, Target: one, For: time.Hour})
	require.NoError(t, err)

	_, err = d.manager.Pause(ctx, override.Request{By: anna, For: time.Second})
	require.NoError(t, err)

	assert.Eventually(t, func() bool { return len(d.inForce(t)) == 1 }, time.Minute, 50*time.Millisecond)
	assert.Contains(t, d.inForce(t), one)

	actions := d.actions(t)
	last := actions[len(actions)-1].TypedSpec()
	assert.Equal(t, resources.ActionExpire, last.Action)
	assert.Equal(t, resources.OverridePauseID, last.Target)
	assert.True(t, last.By.IsZero(), "nobody did it")

	cancel()
	assert.NoError(t, <-done)
}

func TestManager_LoadsSavedOverrides(t *testing.T) {
	d := newBench(t, config.ModeEnforce)

	_, err := d.manager.Throttle(t.Context(), override.Request{By: anna, Target: one, For: time.Hour, Reason: "why"}, 300)
	require.NoError(t, err)

	_, err = d.manager.Pause(t.Context(), override.Request{By: anna, For: time.Second})
	require.NoError(t, err)

	before, err := safe.StateGetByID[*resources.Override](t.Context(), d.state, one)
	require.NoError(t, err)

	want := *before.TypedSpec()

	// The next process; the shorter order ended while there was none.
	time.Sleep(1100 * time.Millisecond)

	for id := range d.inForce(t) {
		require.NoError(t, d.state.Destroy(t.Context(), resources.NewOverride(id).Metadata()))
	}

	d.open(t)
	assert.Equal(t, map[string]string{one: resources.OverrideThrottle}, d.inForce(t))

	after, err := safe.StateGetByID[*resources.Override](t.Context(), d.state, one)
	require.NoError(t, err)
	assert.Equal(t, want, *after.TypedSpec())
}

func TestManager_RecordsCaptures(t *testing.T) {
	d := newBench(t, config.ModeEnforce)

	request := override.Request{By: anna, Target: one}
	require.NoError(t, d.manager.Captured(t.Context(), request, "/run/captures/1", nil))

	request.Reason = "slow NAS"
	require.NoError(t, d.manager.Captured(t.Context(), request, "", errors.New("refused")))

	list, err := safe.StateListAll[*resources.GuardAction](t.Context(), d.state)
	require.NoError(t, err)
	require.Equal(t, 2, list.Len())

	first, second := list.Get(0).TypedSpec(), list.Get(1).TypedSpec()
	assert.Equal(t, resources.ActionCapture, first.Action)
	assert.Equal(t, "/run/captures/1", first.Evidence)
	assert.Equal(t, anna, first.By)
	assert.Equal(t, "slow NAS", second.Reason)
	assert.Equal(t, "refused", second.Error)
}
