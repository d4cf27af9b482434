// SPDX-License-Identifier: MPL-2.0

//go:build linux

package cgroup_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRestoreLeavesAnExternalBurst(t *testing.T) {
	dir, name, j := newBurstingCgroup(t, "50001 100000")

	_, err := dir.Apply(j)
	require.NoError(t, err)

	write(t, name+"/cpu.max.burst", "10000")

	_, err = dir.Restore(j)
	require.NoError(t, err)
	assert.Equal(t, "200000 100000", read(t, name+"/cpu.max"))
	assert.Equal(t, "10000", read(t, name+"/cpu.max.burst"))
}

// TestApplyLeavesAnExternalBurst: another ceiling is no reason to raise what the owner has lowered.
func TestApplyLeavesAnExternalBurst(t *testing.T) {
	dir, name, j := newBurstingCgroup(t, "50001 100000")

	_, err := dir.Apply(j)
	require.NoError(t, err)

	write(t, name+"/cpu.max.burst", "10000")

	j.Previous, j.Applied = j.Applied, "80001 100000"

	_, err = dir.Apply(j)
	require.NoError(t, err)
	assert.Equal(t, "80001 100000", read(t, name+"/cpu.max"))
	assert.Equal(t, "10000", read(t, name+"/cpu.max.burst"))

	j.Previous = ""

	_, err = dir.Restore(j)
	require.NoError(t, err)
	assert.Equal(t, "10000", read(t, name+"/cpu.max.burst"))
}

// TestApply_LowersAnExternalBurstToTheQuotaOnly: the kernel would refuse a quota below it, and nothing more is taken.
func TestApply_LowersAnExternalBurstToTheQuotaOnly(t *testing.T) {
	dir, name, j := newOwnedCgroup(t, "200000 100000", "0", "80001 100000")

	_, err := dir.Apply(j)
	require.NoError(t, err)

	write(t, name+"/cpu.max.burst", "30000")

	for _, step := range []struct{ ceiling, burst string }{{"50001 100000", "30000"}, {"25001 100000", "25001"}, {"50001 100000", "25001"}} {
		j.Previous, j.Applied = j.Applied, step.ceiling

		_, err = dir.Apply(j)
		require.NoError(t, err)
		assert.Equal(t, step.burst, read(t, name+"/cpu.max.burst"))
	}

	j.Previous = ""

	_, err = dir.Restore(j)
	require.NoError(t, err)
	assert.Equal(t, "25001", read(t, name+"/cpu.max.burst"))
}

// TestRestore_RaisesBurstToAnExternalQuota: the owner's burst is more than the quota that was set beside the ceiling.
func TestRestore_RaisesBurstToAnExternalQuota(t *testing.T) {
	dir, name, j := newBurstingCgroup(t, "50001 100000")

	_, err := dir.Apply(j)
	require.NoError(t, err)

	write(t, name+"/cpu.max", "100000 100000")

	_, err = dir.Restore(j)
	require.NoError(t, err)
	assert.Equal(t, "100000 100000", read(t, name+"/cpu.max"))
	assert.Equal(t, "100000", read(t, name+"/cpu.max.burst"))
}
