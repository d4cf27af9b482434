// SPDX-License-Identifier: MPL-2.0

//go:build linux

package enforce_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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
