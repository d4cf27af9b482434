//go:build linux

package controllers_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

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
	"github.com/spegel-guard/spegel-guard/service/internal/controllers"
)

// TestTheLastGoodConfigurationStaysInForce goes from no document over a good one to a bad one and back.
func TestTheLastGoodConfigurationStaysInForce(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	st := state.WrapCore(namespaced.NewState(inmem.Build))
	require.NoError(t, resources.Register(ctx, st))

	engine, err := runtime.NewRuntime(st, zaptest.NewLogger(t))
	require.NoError(t, err)

	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, engine.RegisterController(&controllers.ConfigController{Path: path, Initial: controllers.LoadConfig(path), Active: &config.Active{}}))

	done := make(chan error, 1)

	go func() { done <- engine.Run(ctx) }()

	defer func() {
		cancel()
		assert.NoError(t, <-done)
	}()

	waitFor := func(match func(resources.GuardConfigSpec) bool) resources.GuardConfigSpec {
		var spec resources.GuardConfigSpec

		require.Eventually(t, func() bool {
			active, err := safe.StateGetByID[*resources.GuardConfig](ctx, st, resources.GuardConfigID)
			if err != nil {
				return false
			}

			spec = *active.TypedSpec()

			return match(spec)
		}, 20*time.Second, 50*time.Millisecond)

		return spec
	}

	spec := waitFor(func(s resources.GuardConfigSpec) bool { return s.Mode == "enforce" })
	assert.Equal(t, controllers.SourceDefaults, spec.Source)

	require.NoError(t, os.WriteFile(path, []byte("mode: observe"), 0o600))

	good := waitFor(func(s resources.GuardConfigSpec) bool { return s.Mode == "observe" })
	assert.Equal(t, path, good.Source)

	require.NoError(t, os.WriteFile(path, []byte("mode: perhaps"), 0o600))

	bad := waitFor(func(s resources.GuardConfigSpec) bool { return s.LastError != "" })
	assert.Contains(t, bad.LastError, `invalid mode "perhaps": must be observe or enforce`)
	assert.Equal(t, good.Document, bad.Document)

	condition, err := safe.StateWatchFor[*resources.Condition](ctx, st, resources.NewCondition(resources.ConditionConfig).Metadata(),
		state.WithEventTypes(state.Created, state.Updated),
		state.WithCondition(func(r resource.Resource) (bool, error) {
			condition, ok := r.(*resources.Condition)

			return ok && !condition.TypedSpec().OK, nil
		}),
	)
	require.NoError(t, err)
	assert.Equal(t, resources.ReasonBadConfig, condition.TypedSpec().Reason)

	require.NoError(t, os.Remove(path))
	waitFor(func(s resources.GuardConfigSpec) bool { return s.LastError == "" && s.Mode == "enforce" })
}
