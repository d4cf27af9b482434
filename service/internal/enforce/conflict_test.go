// SPDX-License-Identifier: MPL-2.0

//go:build linux

package enforce_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/service/internal/decide"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce/enforcetest"
)

// TestCeiling_YieldsAfterAThrottle: a hold that has yielded leaves the owner's limit in force, and not the ceiling of the throttle
// that prevailed over it meanwhile.
func TestCeiling_YieldsAfterAThrottle(t *testing.T) {
	const owner = "80000 100000"

	restart := func(m *machine) {
		left, err := enforce.Adopt(m.node.Enforce(), false, zap.NewNop())
		require.NoError(m.t, err)

		m.ceiling = enforce.New(m.node.Enforce(), m.target())
		m.ceiling.Adopt(left.Ceilings[memoryPath])
		m.desired.YieldedSince = m.desired.Since
	}

	for name, meanwhile := range map[string]func(*machine){
		"same process": func(*machine) {},
		"restart":      restart,
		"restart that finds it": func(m *machine) {
			m.ceiling = enforce.New(m.node.Enforce(), m.target())
			m.desired.YieldedSince = m.desired.Since
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, enforcetest.Unlimited)
			m.desired.Yield = true
			m.step()
			m.cgroup.Write(owner)
			m.step()

			hold := m.desired
			m.desired.Millicores, m.desired.Rule, m.desired.Since = 200, decide.RuleOverride, hold.Since+1
			assert.Len(t, m.step(), 1)
			require.Equal(t, "20001 100000", m.cgroup.CPUMax())

			m.desired = hold
			meanwhile(m)

			assert.Equal(t, []string{"release: the hold yielded to an external change of cpu.max"}, append(m.step(), m.step()...))
			assert.Equal(t, owner, m.cgroup.CPUMax())
			assert.False(t, m.ceiling.InForce())
			assert.Equal(t, enforce.StateYielded, m.ceiling.Status().State)
			assert.Equal(t, owner, m.ceiling.Status().OwnerLimit)
		})
	}
}

// TestCeiling_YieldsOnlyToWhatItCanRead: a journal that cannot be read may have a ceiling, which is not taken for the owner's limit.
func TestCeiling_YieldsOnlyToWhatItCanRead(t *testing.T) {
	m := newMachine(t, "50001 100000")
	m.desired.Yield, m.desired.YieldedSince = true, m.desired.Since
	m.cgroup.Fail("ReadJournal", cgroup.ErrBadJournal)

	assert.Equal(t, []string{"fail: cpu 1803m"}, m.step())
	require.ErrorIs(t, m.ceiling.Err(), cgroup.ErrBadJournal)
	assert.Empty(t, m.ceiling.Status().OwnerLimit)

	m.cgroup.Fail("ReadJournal", nil)
	assert.Empty(t, m.after(time.Minute))
	require.NoError(t, m.ceiling.Err())
	assert.Equal(t, enforce.StateYielded, m.ceiling.Status().State)
	assert.Empty(t, m.ceiling.Status().LastError)
}

// TestCeiling_AppliesOverADoubledLimit: the kernel doubled the owner's limit between the read and the write. That is no external change.
func TestCeiling_AppliesOverADoubledLimit(t *testing.T) {
	m := newMachine(t, "8000 5000")
	m.cgroup.OnApply(func() { m.cgroup.Write("16000 10000") })

	assert.Empty(t, m.step())
	assert.Equal(t, "16000 10000", m.cgroup.CPUMax())
	assert.Equal(t, []string{"apply: cpu 1803m"}, m.step())
	assert.Equal(t, "5001 10000", m.cgroup.CPUMax())

	m.none("", "calm")
	m.step()
	assert.Equal(t, "16000 10000", m.cgroup.CPUMax())
}
