// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// TestASuspendedWorkloadHasNoCeiling: a person's word ends a hold at once and lets none begin; afterwards the
// rules, which have watched meanwhile, decide again.
func TestASuspendedWorkloadHasNoCeiling(t *testing.T) {
	l, r := newLoop(t, cpuRule), &recorder{}

	l.Run(11*time.Minute, 1.8, r.see)
	require.Equal(t, []policy.Event{policy.EventTrip}, r.events())

	l.Plant.Sample.Suspended = true
	l.Run(time.Second, 1.8, r.see)
	require.Equal(t, []policy.Event{policy.EventTrip, policy.EventRelease}, r.events())
	assert.Len(t, r.verdicts, 1, "what the ceiling did is judged as ever")

	l.Run(20*time.Minute, 1.8, r.see)
	assert.False(t, r.last.Held)
	assert.Equal(t, policy.StateFiring, r.last.Rules[0].State, "it is seen")
	require.Len(t, r.changes, 2)

	l.Plant.Sample.Suspended = false
	l.Run(time.Second, 1.8, r.see)
	require.Equal(t, []policy.Event{policy.EventTrip, policy.EventRelease, policy.EventTrip}, r.events())
	assert.True(t, r.last.Held)
}

// TestAShortSuspensionDoesNotTripAtItsEnd: the time that a rule needs begins anew with the release.
func TestAShortSuspensionDoesNotTripAtItsEnd(t *testing.T) {
	l, r := newLoop(t, cpuRule), &recorder{}

	l.Run(11*time.Minute, 1.8, r.see)

	l.Plant.Sample.Suspended = true
	l.Run(time.Minute, 1.8, r.see)

	l.Plant.Sample.Suspended = false
	l.Run(8*time.Minute, 1.8, r.see)
	require.Equal(t, []policy.Event{policy.EventTrip, policy.EventRelease}, r.events())

	l.Run(3*time.Minute, 1.8, r.see)
	assert.Equal(t, []policy.Event{policy.EventTrip, policy.EventRelease, policy.EventTrip}, r.events())
}

// TestAPersonsLowerCeilingIsNotProbed: lifting the rule's would show nothing.
func TestAPersonsLowerCeilingIsNotProbed(t *testing.T) {
	for manual, probes := range map[float64]bool{0.2: false, 0: true} {
		l, r := newLoop(t, cpuRule), &recorder{}

		l.Run(11*time.Minute, 1.8, r.see)

		l.Manual = manual
		l.Run(30*time.Minute, 1.8, r.see)

		assert.Equal(t, probes, slices.Contains(r.events(), policy.EventProbe), "%v", r.events())
	}
}
