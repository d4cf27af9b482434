// SPDX-License-Identifier: MPL-2.0

//go:build linux

package enforce_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/service/internal/enforce/enforcetest"
)

// TestCeiling_TakesABurstForTheOwners: one that was set beside the ceiling, which the journal has from then on.
func TestCeiling_TakesABurstForTheOwners(t *testing.T) {
	m := newMachine(t, "200000 100000")
	m.step()
	m.cgroup.WriteBurst(30000)

	m.cgroup.Fail("ReadBurst", enforcetest.ErrBroken)
	assert.Equal(t, []string{"fail: cpu 1803m"}, m.step())
	assert.Zero(t, m.cgroup.Journal().OwnerBurstUsec, "not read")

	m.cgroup.Fail("ReadBurst", nil)
	assert.Empty(t, m.after(time.Minute))
	assert.Equal(t, uint64(30000), m.cgroup.Journal().OwnerBurstUsec)
	require.NoError(t, m.ceiling.Err())
}

// TestCeiling_RestoresABurstOfTheOwner: steps of the ceiling lower it only as far as the kernel wants.
func TestCeiling_RestoresABurstOfTheOwner(t *testing.T) {
	b, spec := newBench(t), desired()
	b.write("cpu.max", "200000 100000")
	b.write("cpu.max.burst", "150000")

	for _, step := range []struct {
		millicores int64
		set, want  string
	}{{800, "", "80001"}, {800, "70000", "70000"}, {500, "", "50001"}, {800, "", "70000"}} {
		if step.set != "" {
			b.write("cpu.max.burst", step.set)
		}

		spec.Millicores = step.millicores
		b.step(spec, time.Second)
		require.Equal(t, step.want, b.read("cpu.max.burst"))
	}

	b.step(nil, 0)
	assert.Equal(t, "200000 100000", b.read("cpu.max"))
	assert.Equal(t, "70000", b.read("cpu.max.burst"))
	b.noJournal()
}
