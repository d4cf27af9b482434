//go:build linux

package override_test

import (
	"context"
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

type desk struct {
	state state.State
	book  *override.Book
	file  persist.File[override.Entry]
}

func newDesk(t *testing.T, mode config.Mode) *desk {
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

	d := &desk{state: st, file: persist.File[override.Entry]{Path: filepath.Join(t.TempDir(), "run", "overrides.json"), BootID: "this"}}
	d.open(t)

	return d
}

// open is what a start of the guard does.
func (d *desk) open(t *testing.T) {
	t.Helper()

	book, err := override.Open(t.Context(), d.state, record.NewLog(d.fresh(t), zap.NewNop()), d.file, zap.NewNop())
	require.NoError(t, err)

	d.book = book
}

// fresh is the state, without the record of an earlier process.
func (d *desk) fresh(t *testing.T) state.State {
	t.Helper()

	for _, action := range d.actions(t) {
		require.NoError(t, d.state.Destroy(t.Context(), action.Metadata()))
	}

	return d.state
}

func (d *desk) actions(t *testing.T) []*resources.GuardAction {
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
func (d *desk) inForce(t *testing.T) map[string]string {
	t.Helper()

	list, err := safe.StateListAll[*resources.Override](t.Context(), d.state)
	require.NoError(t, err)

	kinds := map[string]string{}

	for order := range list.All() {
		kinds[order.Metadata().ID()] = order.TypedSpec().Kind
	}

	return kinds
}

func TestOrdersAreInForceAndOnRecord(t *testing.T) {
	d := newDesk(t, config.ModeEnforce)
	before := time.Now()

	_, err := d.book.Throttle(t.Context(), override.Order{By: anna, Target: one, For: time.Minute, Reason: "NAS is slow"}, 200)
	require.NoError(t, err)

	after := time.Now()

	given, err := d.book.Pause(t.Context(), override.Order{By: anna, For: time.Hour})
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
	_, err = d.book.Release(t.Context(), override.Order{By: anna, For: time.Minute})
	require.NoError(t, err)
	assert.Equal(t, map[string]string{
		one: resources.OverrideRelease, other: resources.OverrideRelease, resources.OverridePauseID: resources.OverridePause,
	}, d.inForce(t))

	ended, err := d.book.Resume(t.Context(), override.Order{By: anna, Target: one})
	require.NoError(t, err)
	require.Len(t, ended, 1)

	ended, err = d.book.Resume(t.Context(), override.Order{By: anna})
	require.NoError(t, err)
	assert.Len(t, ended, 2)
	assert.Empty(t, d.inForce(t))

	last := d.actions(t)
	assert.Equal(t, resources.ActionResume, last[len(last)-1].TypedSpec().Action)
	assert.Equal(t, anna, last[len(last)-1].TypedSpec().By)
	assert.NoFileExists(t, d.file.Path, "nothing to remember")
}

func TestWrongOrdersAreRefusedWithWhatIsAllowed(t *testing.T) {
	d := newDesk(t, config.ModeEnforce)
	observing := newDesk(t, config.ModeObserve)
	order := override.Order{By: anna, Target: one, For: time.Minute}

	throttle := func(d *desk, order override.Order, millicores int64) error {
		_, err := d.book.Throttle(t.Context(), order, millicores)

		return err
	}
	with := func(change func(*override.Order)) override.Order {
		changed := order
		change(&changed)

		return changed
	}

	for _, test := range []struct {
		err  error
		want string
	}{
		{throttle(d, order, 99), `invalid ceiling "99m": must be 100m (ceiling.floor) to 1024 cores`},
		{throttle(d, order, 0), `invalid ceiling "0": must be`},
		{throttle(d, order, 2_000_000), `invalid ceiling "2k": must be`},
		{throttle(d, with(func(o *override.Order) { o.For = 0 }), 200), `invalid for "0s": must be a duration of 1s..24h0m0s`},
		{throttle(d, with(func(o *override.Order) { o.For = 25 * time.Hour }), 200), `invalid for "25h0m0s": must be`},
		{throttle(d, with(func(o *override.Order) { o.Reason = strings.Repeat("x", 257) }), 200), `invalid reason "xxxx`},
		{throttle(d, with(func(o *override.Order) { o.Target = "a/b/c" }), 200), `no such target: "a/b/c"; the node has ` + one + ", " + other},
		{throttle(observing, order, 200), "the mode is observe"},
	} {
		assert.ErrorContains(t, test.err, test.want)
	}

	assert.ErrorIs(t, throttle(observing, order, 200), override.ErrObserving)
	assert.Empty(t, d.inForce(t))
	assert.Empty(t, d.actions(t))

	// Taking ceilings back is possible in any mode.
	_, err := observing.book.Release(t.Context(), order)
	assert.NoError(t, err)
}

func TestOrdersEndByThemselves(t *testing.T) {
	d := newDesk(t, config.ModeEnforce)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)

	go func() { done <- d.book.Run(ctx) }()

	// A long one first: a shorter one after it is noticed.
	_, err := d.book.Release(ctx, override.Order{By: anna, Target: one, For: time.Hour})
	require.NoError(t, err)

	_, err = d.book.Pause(ctx, override.Order{By: anna, For: time.Second})
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

func TestOrdersOutliveTheGuard(t *testing.T) {
	d := newDesk(t, config.ModeEnforce)

	_, err := d.book.Throttle(t.Context(), override.Order{By: anna, Target: one, For: time.Hour, Reason: "why"}, 300)
	require.NoError(t, err)

	_, err = d.book.Pause(t.Context(), override.Order{By: anna, For: time.Second})
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
