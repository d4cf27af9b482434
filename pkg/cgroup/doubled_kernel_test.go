// SPDX-License-Identifier: MPL-2.0

//go:build linux

package cgroup_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
)

// TestRestore_KnowsDoubledCeiling: on a busy machine the kernel doubles quota, period and burst of a period that is too short. The owner's
// limit comes back all the same, also where its quota is less than the doubled burst.
func TestRestore_KnowsDoubledCeiling(t *testing.T) {
	for _, test := range []struct{ name, owner, burst, applied, left string }{
		{name: "burst as high as the ceiling", owner: "8000 5000", burst: "7000", applied: "5001 5000", left: "5001"},
		{name: "burst below the ceiling", owner: "8000 5000", burst: "3000", applied: "5001 5000", left: "3000"},
		{name: "no burst", owner: "8000 5000", burst: "0", applied: "5001 5000", left: "0"},
		{name: "no quota of the owner", owner: "max 5000", burst: "0", applied: "2501 5000", left: "0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir, name, j := newOwnedCgroup(t, test.owner, test.burst, test.applied)

			_, err := dir.Apply(j)
			require.NoError(t, err)
			require.Equal(t, test.left, read(t, name+"/cpu.max.burst"))

			double(t, name)

			after, err := dir.Restore(j)
			require.NoError(t, err)
			assert.Equal(t, test.owner, after.String())
			assert.Equal(t, test.burst, read(t, name+"/cpu.max.burst"))

			_, err = dir.ReadJournal()
			require.ErrorIs(t, err, cgroup.ErrNoJournal)
		})
	}
}

// TestRestore_KnowsDoubledBurst: also one that a crash left beside another ceiling, one that was doubled again in between, and one that
// somebody set beside the ceiling, which stays as far as the owner's quota has room for it.
func TestRestore_KnowsDoubledBurst(t *testing.T) {
	for _, test := range []struct{ name, ownerBurst, max, burst, want string }{
		{name: "burst of the next ceiling", ownerBurst: "8500", max: "16002 10000", burst: "10002", want: "8500"},
		{name: "doubled less often", ownerBurst: "8500", max: "20004 20000", burst: "10002", want: "8500"},
		{name: "lowered beside the owner's limit", ownerBurst: "8500", max: "18000 10000", burst: "10002", want: "8500"},
		{name: "the owner's beside the owner's limit", ownerBurst: "4000", max: "18000 10000", burst: "8000", want: "8000"},
		{name: "set by somebody, too high", ownerBurst: "0", max: "10002 10000", burst: "10000", want: "9000"},
		{name: "set by somebody", ownerBurst: "0", max: "10002 10000", burst: "7000", want: "7000"},
	} {
		t.Run(test.name, func(t *testing.T) {
			const owner = "9000 5000"

			dir, name, j := newOwnedCgroup(t, owner, test.ownerBurst, "5001 5000")
			j.Previous = "8001 5000"
			require.NoError(t, dir.WriteJournal(j))

			write(t, name+"/cpu.max.burst", "0") // the kernel refuses a quota below the burst
			write(t, name+"/cpu.max", test.max)
			write(t, name+"/cpu.max.burst", test.burst)

			after, err := dir.Restore(j)
			require.NoError(t, err)
			assert.True(t, after.Reads(owner), after)
			assert.Equal(t, test.want, read(t, name+"/cpu.max.burst"))
		})
	}
}

// TestApply_KnowsDoubledValues: the next step of a ceiling follows a doubled one. An owner's limit that was doubled after it was read has
// another burst, so that nothing is written.
func TestApply_KnowsDoubledValues(t *testing.T) {
	dir, name, j := newOwnedCgroup(t, "9000 5000", "7000", "6001 5000")

	double(t, name)

	_, err := dir.Apply(j)
	require.ErrorIs(t, err, cgroup.ErrChanged)
	require.Equal(t, "18000 10000", read(t, name+"/cpu.max"))
	require.Equal(t, "14000", read(t, name+"/cpu.max.burst"))

	_, err = dir.ReadJournal()
	require.ErrorIs(t, err, cgroup.ErrNoJournal)

	write(t, name+"/cpu.max.burst", "7000")
	write(t, name+"/cpu.max", "9000 5000")

	_, err = dir.Apply(j)
	require.NoError(t, err)

	for _, step := range []struct{ ceiling, burst string }{{"5001 5000", "5001"}, {"2501 5000", "2501"}, {"8001 5000", "7000"}, {"5501 5000", "5501"}} {
		double(t, name)

		j.Previous, j.Applied = j.Applied, step.ceiling

		_, err := dir.Apply(j)
		require.NoError(t, err)
		require.Equal(t, step.ceiling, read(t, name+"/cpu.max"))
		require.Equal(t, step.burst, read(t, name+"/cpu.max.burst"))
	}

	_, err = dir.Restore(j)
	require.NoError(t, err)
	assert.Equal(t, "9000 5000", read(t, name+"/cpu.max"))
	assert.Equal(t, "7000", read(t, name+"/cpu.max.burst"))
}

// double does what the kernel does to a period that is too short for a busy machine.
func double(t *testing.T, name string) {
	t.Helper()

	value, err := cgroup.ParseCPUMax(read(t, name+"/cpu.max"))
	require.NoError(t, err)

	burst, err := strconv.ParseInt(read(t, name+"/cpu.max.burst"), 10, 64)
	require.NoError(t, err)

	value.QuotaUsec, value.PeriodUsec = 2*value.QuotaUsec, 2*value.PeriodUsec
	write(t, name+"/cpu.max", value.String())
	write(t, name+"/cpu.max.burst", strconv.FormatInt(2*burst, 10))
}
