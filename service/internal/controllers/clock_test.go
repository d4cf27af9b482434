// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// TestClockController_CorrectsTimes starts a node in 1970 and sets its clock, twice forward and once back.
func TestClockController_CorrectsTimes(t *testing.T) {
	var (
		st     = newState(t)
		booted time.Time // not set
		wall   = func(at time.Duration) time.Time {
			if booted.IsZero() || at == 0 {
				return time.Time{}
			}

			return booted.Add(at)
		}
		c = ClockController{State: st, Wall: wall}
	)

	status := resources.NewGuardStatus(resources.GuardStatusID)
	status.TypedSpec().SinceClock = 10 * time.Second
	require.NoError(t, st.Create(t.Context(), status, state.WithCreateOwner("PolicyController")))

	action := resources.NewGuardAction("000001")
	action.TypedSpec().Clock = 20 * time.Second
	require.NoError(t, st.Create(t.Context(), action))

	override := resources.NewOverride("a/b/c")
	override.TypedSpec().SinceClock, override.TypedSpec().UntilClock = 30*time.Second, time.Hour
	require.NoError(t, st.Create(t.Context(), override))

	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

	for _, at := range []time.Time{{}, now, now.Add(time.Hour), now.Add(-time.Hour), {}} {
		booted = at
		require.NoError(t, c.reconcile(t.Context(), zap.NewNop()))

		status, err := safe.StateGetByID[*resources.GuardStatus](t.Context(), st, resources.GuardStatusID)
		require.NoError(t, err)
		assert.Equal(t, wall(10*time.Second), status.TypedSpec().Since)
		assert.Equal(t, "PolicyController", status.Metadata().Owner())

		action, err := safe.StateGetByID[*resources.GuardAction](t.Context(), st, "000001")
		require.NoError(t, err)
		assert.Equal(t, []time.Time{wall(20 * time.Second), {}}, []time.Time{action.TypedSpec().At, action.TypedSpec().Until})

		override, err := safe.StateGetByID[*resources.Override](t.Context(), st, "a/b/c")
		require.NoError(t, err)
		assert.Equal(t, []time.Time{wall(30 * time.Second), wall(time.Hour)}, []time.Time{override.TypedSpec().Since, override.TypedSpec().Until})

		// As long as the clock is not set again, nothing is written.
		before := versions(t, st)
		require.NoError(t, c.reconcile(t.Context(), zap.NewNop()))
		assert.Equal(t, before, versions(t, st))
	}
}

func versions(t *testing.T, st state.State) []string {
	t.Helper()

	var all []string

	for _, kind := range resources.Types() {
		list, err := st.List(t.Context(), resource.NewMetadata(resources.Namespace, kind, "", resource.VersionUndefined))
		require.NoError(t, err)

		for _, item := range list.Items {
			all = append(all, item.Metadata().String())
		}
	}

	return all
}
