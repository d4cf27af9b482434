// SPDX-License-Identifier: MPL-2.0

//go:build linux

package override_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/impl/inmem"
	"github.com/cosi-project/runtime/pkg/state/impl/namespaced"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/override"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

const one, other = "spegel/spegel-a/registry", "spegel/spegel-b/registry"

var anna = resources.Person{Subject: "CN=anna,O=os:operator", Fingerprint: "ab", From: "10.0.0.1:1"}

// node is a manager with the state of a node that has two targets.
type node struct {
	state state.State
	file  override.File
	start time.Time
	// suspended is the time in nanoseconds in which timers stood still.
	suspended atomic.Int64
	logs      *observer.ObservedLogs
	*override.Manager
}

func newNode(t *testing.T, mode config.Mode) *node {
	t.Helper()

	n := &node{
		state: state.WrapCore(namespaced.NewState(inmem.Build)), start: time.Now(),
		file: override.File{Path: filepath.Join(t.TempDir(), "run", "overrides.json"), BootID: "this"},
	}
	require.NoError(t, resources.Register(t.Context(), n.state))

	if mode != "" {
		cfg := config.Default()
		cfg.Mode = mode

		document, err := config.Marshal(cfg)
		require.NoError(t, err)

		active := resources.NewGuardConfig(resources.GuardConfigID)
		active.TypedSpec().Document, active.TypedSpec().Mode = string(document), string(mode)
		require.NoError(t, n.state.Create(t.Context(), active))
	}

	for _, id := range []string{one, other} {
		require.NoError(t, n.state.Create(t.Context(), resources.NewTarget(id)))
	}

	require.NoError(t, n.open(t))

	return n
}

// open starts a manager on the state and the file. The time of a synctest bubble is its clock.
func (n *node) open(t *testing.T) error {
	t.Helper()

	core, logs := observer.New(zap.InfoLevel)
	n.logs = logs

	var err error

	n.Manager, err = override.Open(
		t.Context(), n.state, record.NewActions(n.state, zap.NewNop()), nil, n.file, func() time.Duration { return time.Since(n.start) + time.Duration(n.suspended.Load()) }, zap.New(core),
	)

	return err
}

// restart opens the manager again, on a state without actions and overrides.
func (n *node) restart(t *testing.T) error {
	t.Helper()

	for _, action := range n.actions(t) {
		require.NoError(t, n.state.Destroy(t.Context(), action.Metadata()))
	}

	for id := range n.inForce(t) {
		require.NoError(t, n.state.Destroy(t.Context(), resources.NewOverride(id).Metadata()))
	}

	return n.open(t)
}

func (n *node) actions(t *testing.T) []*resources.GuardAction {
	t.Helper()

	list, err := safe.StateListAll[*resources.GuardAction](t.Context(), n.state)
	require.NoError(t, err)

	var all []*resources.GuardAction

	for action := range list.All() {
		all = append(all, action)
	}

	return all
}

// inForce returns the kinds of the published overrides by target.
func (n *node) inForce(t *testing.T) map[string]string {
	t.Helper()

	list, err := safe.StateListAll[*resources.Override](t.Context(), n.state)
	require.NoError(t, err)

	kinds := map[string]string{}

	for published := range list.All() {
		kinds[published.Metadata().ID()] = published.TypedSpec().Kind
	}

	return kinds
}

func TestManager_PublishesAndRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, config.ModeEnforce)

		time.Sleep(time.Hour)

		set, err := n.Throttle(t.Context(), override.Request{By: anna, Target: one, For: time.Minute, Reason: "NAS is slow"}, 200)
		require.NoError(t, err)
		require.Len(t, set, 1)

		// The test's clock is in the year 2000, which is not set: there are no times of day.
		want := resources.OverrideSpec{
			Kind: resources.OverrideThrottle, CeilingMillicores: 200, By: anna, Reason: "NAS is slow",
			SinceClock: time.Hour, UntilClock: time.Hour + time.Minute,
		}
		assert.Equal(t, override.Override{Target: one, OverrideSpec: want}, set[0])

		published, err := safe.StateGetByID[*resources.Override](t.Context(), n.state, one)
		require.NoError(t, err)
		assert.Equal(t, want, *published.TypedSpec())

		actions := n.actions(t)
		require.Len(t, actions, 1)
		assert.Equal(t, resources.GuardActionSpec{
			Action: resources.ActionThrottle, Mode: "enforce", Target: one, Rule: resources.RuleOverride,
			Reason: "throttle to 200m for 1m: NAS is slow", By: anna, Clock: want.SinceClock, UntilClock: want.UntilClock,
		}, *actions[0].TypedSpec())
	})
}

func TestManager_NewestOverrideReplacesEarlierOnes(t *testing.T) {
	n := newNode(t, config.ModeEnforce)

	_, err := n.Throttle(t.Context(), override.Request{Target: one, For: time.Minute}, 200)
	require.NoError(t, err)

	_, err = n.Pause(t.Context(), override.Request{Target: "is ignored", For: time.Minute})
	require.NoError(t, err)

	_, err = n.Release(t.Context(), override.Request{For: time.Minute})
	require.NoError(t, err)

	assert.Equal(t, map[string]string{
		one: resources.OverrideRelease, other: resources.OverrideRelease, resources.OverridePauseID: resources.OverridePause,
	}, n.inForce(t))

	recorded := []string{}
	for _, action := range n.actions(t) {
		recorded = append(recorded, action.TypedSpec().Action)
	}

	assert.Equal(t, []string{resources.ActionThrottle, resources.ActionPause, resources.ActionRelease, resources.ActionRelease}, recorded)
}

func TestManager_Resume(t *testing.T) {
	n := newNode(t, config.ModeEnforce)

	_, err := n.Release(t.Context(), override.Request{For: time.Minute})
	require.NoError(t, err)

	ended, err := n.Resume(t.Context(), override.Request{By: anna, Target: one, Reason: "done"})
	require.NoError(t, err)
	require.Len(t, ended, 1)
	assert.Equal(t, one, ended[0].Target)

	actions := n.actions(t)
	last := actions[len(actions)-1].TypedSpec()
	assert.Equal(t, resources.ActionResume, last.Action)
	assert.Equal(t, "ends release: done", last.Reason)
	assert.Equal(t, anna, last.By)

	ended, err = n.Resume(t.Context(), override.Request{})
	require.NoError(t, err)
	assert.Len(t, ended, 1)
	assert.Empty(t, n.inForce(t))
	assert.NoFileExists(t, n.file.Path)

	_, err = n.Resume(t.Context(), override.Request{Reason: strings.Repeat("x", 257)})
	assert.ErrorContains(t, err, "reason")
}

func TestManager_RefusesInvalidRequests(t *testing.T) {
	valid := override.Request{By: anna, Target: one, For: time.Minute}
	with := func(change func(*override.Request)) override.Request {
		request := valid
		change(&request)

		return request
	}

	for name, test := range map[string]struct {
		mode       config.Mode
		request    override.Request
		millicores int64
		want       string
		is         error
	}{
		"below the floor":   {mode: config.ModeEnforce, request: valid, millicores: 99, want: `invalid ceiling "99m": must be 100m (ceiling.floor) to 1024 cores`},
		"zero":              {mode: config.ModeEnforce, request: valid, want: `invalid ceiling "0"`},
		"above the maximum": {mode: config.ModeEnforce, request: valid, millicores: 2_000_000, want: `invalid ceiling "2k"`},
		"no duration": {
			mode: config.ModeEnforce, request: with(func(r *override.Request) { r.For = 0 }), millicores: 200,
			want: `invalid for "0s": must be a duration of 1s..24h`,
		},
		"too long": {
			mode: config.ModeEnforce, request: with(func(r *override.Request) { r.For = 25 * time.Hour }), millicores: 200,
			want: `invalid for "25h"`,
		},
		"long reason": {
			mode: config.ModeEnforce, request: with(func(r *override.Request) { r.Reason = strings.Repeat("x", 257) }), millicores: 200,
			want: `invalid reason "xxxx`,
		},
		"escape sequence in the reason": {
			mode: config.ModeEnforce, request: with(func(r *override.Request) { r.Reason = "\x1b[2J" }), millicores: 200,
			want: `invalid reason "[2J": must be printable text on one line, of at most 256 bytes`,
		},
		"two lines of reason": {
			mode: config.ModeEnforce, request: with(func(r *override.Request) { r.Reason = "a\nb" }), millicores: 200,
			want: `invalid reason "a b"`,
		},
		"bidirectional reason": {
			mode: config.ModeEnforce, request: with(func(r *override.Request) { r.Reason = "\u202eabc" }), millicores: 200,
			want: `invalid reason "abc"`,
		},
		"unknown target": {
			mode: config.ModeEnforce, request: with(func(r *override.Request) { r.Target = "a/b/c" }), millicores: 200,
			want: `no such target: "a/b/c", the node has ` + one + ", " + other, is: override.ErrNoTarget,
		},
		"mode observe":     {mode: config.ModeObserve, request: valid, millicores: 200, want: "set mode: enforce", is: override.ErrObserving},
		"no configuration": {request: valid, millicores: 200, want: "no configuration", is: override.ErrNoConfig},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, test.mode)

			_, err := n.Throttle(t.Context(), test.request, test.millicores)
			require.ErrorContains(t, err, test.want)

			var field config.FieldError

			if test.is != nil {
				assert.ErrorIs(t, err, test.is)
			} else {
				assert.ErrorAs(t, err, &field)
			}

			assert.Empty(t, n.inForce(t))
			assert.Empty(t, n.actions(t))
		})
	}
}

func TestManager_ReleasesInModeObserve(t *testing.T) {
	n := newNode(t, config.ModeObserve)

	_, err := n.Release(t.Context(), override.Request{Target: one, For: time.Minute})
	require.NoError(t, err)
	assert.Equal(t, map[string]string{one: resources.OverrideRelease}, n.inForce(t))
}

func TestManager_NeedsATarget(t *testing.T) {
	n := newNode(t, config.ModeEnforce)

	for _, id := range []string{one, other} {
		require.NoError(t, n.state.Destroy(t.Context(), resources.NewTarget(id).Metadata()))
	}

	_, err := n.Release(t.Context(), override.Request{For: time.Minute})
	require.ErrorIs(t, err, override.ErrNoTarget)
}

func TestManager_ContinuesAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, config.ModeEnforce)

		_, err := n.Throttle(t.Context(), override.Request{By: anna, Target: one, For: time.Hour, Reason: "why"}, 300)
		require.NoError(t, err)

		_, err = n.Pause(t.Context(), override.Request{By: anna, For: time.Minute})
		require.NoError(t, err)

		before, err := safe.StateGetByID[*resources.Override](t.Context(), n.state, one)
		require.NoError(t, err)

		want := *before.TypedSpec()

		// The pause ends while no manager runs.
		time.Sleep(time.Minute)
		require.NoError(t, n.restart(t))
		assert.Equal(t, map[string]string{one: resources.OverrideThrottle}, n.inForce(t))

		after, err := safe.StateGetByID[*resources.Override](t.Context(), n.state, one)
		require.NoError(t, err)
		assert.Equal(t, want, *after.TypedSpec())
	})
}

func TestManager_WorksWithoutItsFile(t *testing.T) {
	for _, test := range []struct{ name, content, want string }{
		{name: "removed", want: "failed to save overrides, a restart of the service ends them"},
		{
			name: "not removed", content: "file",
			want: "failed to save and to remove overrides, a restart of the service continues those that were saved last",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := newNode(t, config.ModeEnforce)
			n.file.Path = t.TempDir() // a directory can be neither read nor replaced

			if test.content != "" {
				require.NoError(t, os.WriteFile(filepath.Join(n.file.Path, test.content), nil, 0o600))
			}

			require.Error(t, n.restart(t))

			_, err := n.Pause(t.Context(), override.Request{For: time.Minute})
			require.NoError(t, err)
			assert.Len(t, n.inForce(t), 1)
			assert.Equal(t, 1, n.logs.FilterMessage(test.want).Len())
		})
	}
}
