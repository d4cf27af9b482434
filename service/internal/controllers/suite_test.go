// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/controller/runtime"
	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/impl/inmem"
	"github.com/cosi-project/runtime/pkg/state/impl/namespaced"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// patience is how long a resource may take to become what a test expects. It takes milliseconds.
const patience = time.Minute

// suite is a COSI runtime with the guard's resources.
type suite struct {
	t     *testing.T
	state state.State
	stop  context.CancelFunc
	ended chan error
}

// newState returns a state with the guard's resources.
func newState(t testing.TB) state.State {
	t.Helper()

	st := state.WrapCore(namespaced.NewState(inmem.Build))
	require.NoError(t, resources.Register(t.Context(), st))

	return st
}

// newSuite starts controllers in a runtime over a state; the test's end stops them.
func newSuite(t *testing.T, st state.State, all ...controller.Controller) *suite {
	t.Helper()

	engine, err := runtime.NewRuntime(st, zaptest.NewLogger(t))
	require.NoError(t, err)

	for _, c := range all {
		require.NoError(t, engine.RegisterController(c))
	}

	ctx, cancel := context.WithCancel(context.Background())
	s := &suite{t: t, state: st, stop: cancel, ended: make(chan error, 1)}

	go func() { s.ended <- engine.Run(ctx) }()

	t.Cleanup(s.end)

	return s
}

// end stops the runtime and waits for its end.
func (s *suite) end() {
	s.stop()

	if s.ended != nil {
		assert.NoError(s.t, <-s.ended)
		s.ended = nil
	}
}

// configure puts a document in force.
func (s *suite) configure(document string) {
	s.t.Helper()

	cfg, err := config.Parse([]byte(document))
	require.NoError(s.t, err)

	text, err := config.Marshal(cfg)
	require.NoError(s.t, err)

	put(s, resources.NewGuardConfig(resources.GuardConfigID), func(spec *resources.GuardConfigSpec) { spec.Document = string(text) })
}

// typed is a resource of the guard with a spec.
type typed[S any] interface {
	resource.Resource
	TypedSpec() *S
}

// put creates or updates a resource.
func put[R typed[S], S any](s *suite, r R, change func(*S)) {
	s.t.Helper()

	// No controller must see it without its content.
	change(r.TypedSpec())

	err := s.state.Create(s.t.Context(), r)
	if !state.IsConflictError(err) {
		require.NoError(s.t, err)

		return
	}

	_, err = safe.StateUpdateWithConflicts(s.t.Context(), s.state, r.Metadata(), func(r R) error {
		change(r.TypedSpec())

		return nil
	})
	require.NoError(s.t, err)
}

// remove destroys a resource.
func (s *suite) remove(r resource.Resource) {
	s.t.Helper()

	require.NoError(s.t, s.state.Destroy(s.t.Context(), r.Metadata()))
}

// await waits until a resource matches, and returns its spec.
func await[R typed[S], S any](s *suite, r R, match func(S) bool) S {
	s.t.Helper()

	var last S

	require.Eventually(s.t, func() bool {
		found, err := safe.StateGet[R](context.Background(), s.state, r.Metadata())
		if err != nil {
			return false
		}

		last = *found.TypedSpec()

		return match(last)
	}, patience, time.Millisecond, "%s: %+v", r.Metadata(), &last)

	return last
}

// gone waits until a resource does not exist.
func (s *suite) gone(r resource.Resource) {
	s.t.Helper()

	require.Eventually(s.t, func() bool {
		_, err := s.state.Get(context.Background(), r.Metadata())

		return state.IsNotFoundError(err)
	}, patience, time.Millisecond, "%s", r.Metadata())
}

// actions are those on record, oldest first, as kind and reason.
func (s *suite) actions() []resources.GuardActionSpec {
	list, err := safe.StateListAll[*resources.GuardAction](context.Background(), s.state)
	require.NoError(s.t, err)

	var specs []resources.GuardActionSpec

	for action := range list.All() {
		specs = append(specs, *action.TypedSpec())
	}

	return specs
}
