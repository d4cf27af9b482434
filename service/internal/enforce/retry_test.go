// SPDX-License-Identifier: MPL-2.0

//go:build linux

package enforce_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/spegel-guard/spegel-guard/service/internal/decide"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce/enforcetest"
)

func TestCeiling_RetriesWhatFailed(t *testing.T) {
	for _, method := range []string{"Apply", "ReadCPUMax", "ReadJournal"} {
		t.Run(method, func(t *testing.T) {
			m := newMachine(t, enforcetest.Unlimited)
			m.cgroup.Fail(method, enforcetest.ErrBroken)

			assert.Equal(t, []string{"fail: cpu 1803m"}, m.step())
			assert.Empty(t, m.after(time.Minute), "the same failure is reported once")
			require.ErrorIs(t, m.ceiling.Err(), enforcetest.ErrBroken)
			assert.Equal(t, enforce.StateFailed, m.ceiling.Status().State)

			m.cgroup.Fail(method, nil)
			assert.Empty(t, m.after(time.Second), "the back-off has grown to two seconds")
			assert.Equal(t, []string{"apply: cpu 1803m"}, m.after(time.Minute))
			assert.Equal(t, enforce.StateApplied, m.ceiling.Status().State)
		})
	}

	t.Run("Controllable", func(t *testing.T) {
		m := newMachine(t, enforcetest.Unlimited)
		m.cgroup.Fail("Controllable", enforcetest.ErrBroken)
		assert.Equal(t, []string{"fail: cpu 1803m"}, m.step())
	})

	t.Run("keep", func(t *testing.T) {
		m := newMachine(t, enforcetest.Unlimited)
		m.step()
		m.cgroup.Fail("ReadCPUMax", enforcetest.ErrBroken)
		assert.Equal(t, []string{"fail: cpu 1803m"}, m.step())
		assert.True(t, m.ceiling.InForce(), "there is a journal to restore")

		m.cgroup.Fail("ReadCPUMax", nil)
		assert.Empty(t, m.after(time.Minute))
		assert.Equal(t, enforce.StateApplied, m.ceiling.Status().State)
	})

	t.Run("adjust", func(t *testing.T) {
		m := newMachine(t, enforcetest.Unlimited)
		m.step()

		m.desired.Until++
		m.cgroup.Fail("WriteJournal", enforcetest.ErrBroken)
		assert.Equal(t, []string{"fail: cpu 1803m"}, m.step())

		m.desired.Millicores = 300
		m.cgroup.Fail("Apply", enforcetest.ErrBroken)
		m.cgroup.Fail("WriteJournal", nil)
		assert.Empty(t, m.after(time.Minute), "the same failure")

		m.cgroup.Fail("Apply", nil)
		assert.Equal(t, []string{"adjust: cpu 1803m"}, m.after(time.Minute))
	})
}

func TestCeiling_RetriesARelease(t *testing.T) {
	for rule, want := range map[string][]string{"": nil, decide.RuleOverride: {"release: released"}} {
		t.Run("rule "+rule, func(t *testing.T) {
			m := newMachine(t, enforcetest.Unlimited)
			m.step()
			m.none(rule, "released")
			m.cgroup.Fail("Restore", enforcetest.ErrBroken)

			assert.Equal(t, []string{"fail: released"}, m.step())
			assert.True(t, m.ceiling.InForce())

			m.cgroup.Fail("Restore", nil)
			assert.Equal(t, want, m.after(time.Millisecond), "an override does not wait for the back-off")
			m.after(time.Minute)
			assert.False(t, m.ceiling.InForce())
			assert.Equal(t, enforcetest.Unlimited, m.cgroup.CPUMax())
		})
	}
}

// TestCeiling_BackOffDelaysNoRelease: what has failed is another step.
func TestCeiling_BackOffDelaysNoRelease(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*machine)
		want   string
	}{
		"none":        {func(m *machine) { m.none("", "the hold is over") }, "release: the hold is over"},
		"observe":     {func(m *machine) { m.desired.Observe = true }, "release: mode is observe"},
		"probe":       {func(m *machine) { m.desired.Probing = true }, "probe: the hold is over: the demand is measured without the ceiling"},
		"terminating": {func(m *machine) { m.node.End() }, "release: the container terminates"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, enforcetest.Unlimited)
			m.step()

			m.desired.Until++
			m.cgroup.Fail("WriteJournal", enforcetest.ErrBroken)
			assert.Equal(t, []string{"fail: cpu 1803m"}, m.step())

			test.change(m)
			m.cgroup.Fail("Restore", enforcetest.ErrPanic)
			assert.NotEmpty(t, m.after(time.Millisecond), "it is tried at once")
			m.cgroup.Fail("Restore", nil)
			assert.Empty(t, m.after(time.Millisecond), "and then waits")

			actions := m.after(time.Minute)
			require.NotEmpty(t, actions)
			assert.Equal(t, test.want, actions[0])
			assert.Equal(t, enforcetest.Unlimited, m.cgroup.CPUMax())
		})
	}
}

// TestCeiling_StopNamesACeilingThatStays, also when its release has failed before: the last lines of the log are about it.
func TestCeiling_StopNamesACeilingThatStays(t *testing.T) {
	m := newMachine(t, enforcetest.Unlimited)
	m.step()
	m.none("", "released")
	m.cgroup.Fail("Restore", enforcetest.ErrBroken)
	assert.Equal(t, []string{"fail: released"}, m.step())
	assert.Empty(t, m.after(time.Minute), "logged once")

	assert.Equal(t, []string{"fail: the service stopped"}, kinds(m.ceiling.Stop(true)))
	assert.Equal(t, "50001 100000", m.cgroup.CPUMax())
}

// TestCeiling_OverrideKeepsTheBackOffWithNothingInForce: only a release of a ceiling ends the wait after an external change.
func TestCeiling_OverrideKeepsTheBackOffWithNothingInForce(t *testing.T) {
	for name, releases := range map[string]int{"none": 0, "one": 1, "two": 2} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, enforcetest.Unlimited)
			m.step()

			desired := m.desired

			// The back-off is a second.
			m.cgroup.Write("80000 100000")
			assert.Len(t, m.step(), 1)
			require.Equal(t, enforce.StateYielded, m.ceiling.Status().State)

			for range releases {
				m.none(decide.RuleOverride, "released by anna")
				assert.Empty(t, m.after(100*time.Millisecond))

				m.desired = desired
				assert.Empty(t, m.after(100*time.Millisecond), "the back-off goes on")
			}

			assert.Equal(t, []string{"apply: cpu 1803m"}, m.step())
			m.cgroup.Write("70000 100000")
			m.step()
			assert.Empty(t, m.after(1900*time.Millisecond), "the next back-off is two seconds")
			assert.Equal(t, []string{"apply: cpu 1803m"}, m.after(100*time.Millisecond))
		})
	}
}

// TestCeiling_ShowsWhatAFailureLeaves: a ceiling that cannot be lifted is shown, and none that was lifted.
func TestCeiling_ShowsWhatAFailureLeaves(t *testing.T) {
	t.Run("the ceiling", func(t *testing.T) {
		m := newMachine(t, enforcetest.Unlimited)
		m.step()
		m.none("", "released")
		m.cgroup.Fail("Restore", unix.EROFS)
		m.step()

		require.ErrorIs(t, m.ceiling.Err(), enforce.ErrInForce)
		require.ErrorIs(t, m.ceiling.Err(), unix.EROFS)
		assert.NotZero(t, m.ceiling.Status().AppliedAt)
		assert.Equal(t, "50001 100000", m.ceiling.Status().ReadBack)
	})

	t.Run("none after an adjustment that was undone", func(t *testing.T) {
		m := newMachine(t, enforcetest.Unlimited)
		m.step()
		m.desired.Millicores = 300
		m.cgroup.OnApply(func() {
			journal := m.cgroup.Journal()
			_, err := m.cgroup.Restore(*journal)
			require.NoError(t, err)
		})
		m.cgroup.Fail("Apply", enforcetest.ErrBroken)
		assert.Equal(t, []string{"fail: cpu 1803m"}, m.step())

		assert.False(t, m.ceiling.InForce())
		assert.NotErrorIs(t, m.ceiling.Err(), enforce.ErrInForce)
		assert.Equal(t, enforce.Status{
			State: enforce.StateFailed, ContainerID: "c1", Rule: "SpegelHighCPU", OwnerLimit: enforcetest.Unlimited,
			LastError: enforcetest.ErrBroken.Error(), Since: m.desired.Since, Until: m.desired.Until,
		}, m.ceiling.Status())
	})

	t.Run("the ceiling of a write that failed", func(t *testing.T) {
		m := newMachine(t, enforcetest.Unlimited)
		m.cgroup.OnApply(func() {
			m.cgroup.SetJournal(journal(time.Hour))
			m.cgroup.Write("50001 100000")
		})
		m.cgroup.Fail("Apply", enforcetest.ErrBroken)
		m.step()
		m.cgroup.Fail("Apply", nil)
		m.after(time.Minute)

		status := m.ceiling.Status()
		assert.Equal(t, enforce.StateApplied, status.State)
		assert.NotZero(t, status.AppliedAt)
		assert.Equal(t, []string{enforcetest.Unlimited, "50001 100000"}, []string{status.OwnerLimit, status.Applied})
	})

	t.Run("none under an external change", func(t *testing.T) {
		m := newMachine(t, enforcetest.Unlimited)
		m.step()
		m.cgroup.Write("80000 100000")
		m.cgroup.Fail("Restore", enforcetest.ErrBroken)
		m.step()
		assert.Zero(t, m.ceiling.Status().AppliedAt)
	})
}

// TestCeiling_CountsAnExternalChangeOnce, however often the journal cannot be removed.
func TestCeiling_CountsAnExternalChangeOnce(t *testing.T) {
	m := newMachine(t, enforcetest.Unlimited)
	m.step()
	m.cgroup.Write("80000 100000")
	m.cgroup.Fail("Restore", enforcetest.ErrBroken)

	for range 3 {
		m.after(time.Minute)
	}

	m.cgroup.Fail("Restore", nil)
	assert.Len(t, m.after(time.Minute), 1)
	assert.Equal(t, uint64(1), m.ceiling.Status().ExternalChanges)
}
