// SPDX-License-Identifier: MPL-2.0

//go:build linux

package enforce_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/task"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce/enforcetest"
)

// TestCeiling_TakesAPanicForAFailure: it is reported once, tried again after the back-off, and nothing is lost to restore.
func TestCeiling_TakesAPanicForAFailure(t *testing.T) {
	for _, method := range []string{"Controllable", "ReadCPUMax", "Apply"} {
		t.Run(method, func(t *testing.T) {
			m := newMachine(t, enforcetest.Unlimited)
			m.cgroup.Fail(method, enforcetest.ErrPanic)

			assert.Equal(t, []string{"fail: "}, m.step())
			assert.Empty(t, m.after(time.Minute), "the same failure is reported once")
			require.ErrorIs(t, m.ceiling.Err(), task.ErrPanicked)
			assert.Equal(t, enforce.StateFailed, m.ceiling.Status().State)

			m.cgroup.Fail(method, nil)
			assert.Equal(t, []string{"apply: cpu 1803m"}, m.after(time.Minute))
			assert.NoError(t, m.ceiling.Err())
		})
	}
}

// TestCeiling_RestoresAfterAPanicInTheWrite: journal and cpu.max are written, and then it panics.
func TestCeiling_RestoresAfterAPanicInTheWrite(t *testing.T) {
	m := newMachine(t, "200000 100000")

	m.cgroup.OnApply(func() {
		half := journal(time.Hour)
		half.OwnerLimit = "200000 100000"
		m.cgroup.SetJournal(half)
		m.cgroup.Write(half.Applied)

		panic("after the write")
	})

	assert.Equal(t, []string{"fail: "}, m.step())
	require.True(t, m.ceiling.InForce())

	assert.Equal(t, []string{"release: the service stopped"}, kinds(m.ceiling.Release(enforce.ActionRelease, "the service stopped", m.now)))
	assert.Equal(t, "200000 100000", m.cgroup.CPUMax())
	assert.Nil(t, m.cgroup.Journal())
}

// TestCeiling_KeepsItsJournalOverAPanic: of a release, and of the reads after it.
func TestCeiling_KeepsItsJournalOverAPanic(t *testing.T) {
	m := newMachine(t, "200000 100000")
	m.step()
	m.none("", "released")
	m.cgroup.Fail("Restore", enforcetest.ErrPanic)

	assert.Equal(t, []string{"fail: "}, m.step())
	assert.True(t, m.ceiling.InForce())

	// The journal cannot be read: what is known of it stays.
	m.cgroup.Fail("ReadJournal", enforcetest.ErrPanic)
	assert.Empty(t, m.after(time.Minute))
	assert.ErrorIs(t, m.ceiling.Err(), task.ErrPanicked)
	assert.True(t, m.ceiling.InForce())

	m.cgroup.Fail("Restore", nil)
	m.cgroup.Fail("ReadJournal", nil)
	assert.Equal(t, []string{"release: released"}, m.after(time.Minute))
	assert.Equal(t, "200000 100000", m.cgroup.CPUMax())
}
