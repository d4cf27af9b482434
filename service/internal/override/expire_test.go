// SPDX-License-Identifier: MPL-2.0

//go:build linux

package override_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/override"
)

// expiring runs a test in a synctest bubble beside the manager of a node, which must end without an error.
func expiring(t *testing.T, test func(t *testing.T, n *node)) {
	t.Helper()

	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, config.ModeEnforce)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)

		go func() { done <- n.Run(ctx) }()

		test(t, n)

		cancel()
		assert.NoError(t, <-done)
	})
}

// TestManager_ExpiresOverridesAfterASuspension, in which timers stood still.
func TestManager_ExpiresOverridesAfterASuspension(t *testing.T) {
	expiring(t, func(t *testing.T, n *node) {
		_, err := n.Pause(t.Context(), override.Request{By: anna, For: 8 * time.Hour})
		require.NoError(t, err)
		synctest.Wait()

		n.suspended.Store(int64(8 * time.Hour))

		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Empty(t, n.inForce(t))
	})
}

func TestManager_ExpiresOverrides(t *testing.T) {
	expiring(t, func(t *testing.T, n *node) {
		// The second override ends before the first, whose timer runs already.
		_, err := n.Release(t.Context(), override.Request{By: anna, Target: one, For: time.Hour})
		require.NoError(t, err)
		synctest.Wait()

		_, err = n.Pause(t.Context(), override.Request{By: anna, For: time.Minute})
		require.NoError(t, err)

		time.Sleep(time.Minute - time.Nanosecond)
		synctest.Wait()
		assert.Len(t, n.inForce(t), 2)

		time.Sleep(time.Nanosecond)
		synctest.Wait()
		assert.Equal(t, map[string]string{one: resources.OverrideRelease}, n.inForce(t))

		actions := n.actions(t)
		last := actions[len(actions)-1].TypedSpec()
		assert.Equal(t, resources.ActionExpire, last.Action)
		assert.Equal(t, resources.OverridePauseID, last.Target)
		assert.Equal(t, "the time of the pause is over", last.Reason)
		assert.True(t, last.By.IsZero())

		time.Sleep(time.Hour)
		synctest.Wait()
		assert.Empty(t, n.inForce(t))
	})
}
