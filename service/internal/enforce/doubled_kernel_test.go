// SPDX-License-Identifier: MPL-2.0

//go:build linux

package enforce_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
)

// TestCeiling_StaysAsTheKernelDoublesIt: on a busy machine the kernel doubles a period that is too short, and its quota. That is no
// external change, and the owner's limit comes back.
func TestCeiling_StaysAsTheKernelDoublesIt(t *testing.T) {
	b, spec := newBench(t), desired()
	b.write("cpu.max", "8000 5000")
	b.step(spec, 0)
	require.Equal(t, "2501 5000", b.read("cpu.max"))

	b.write("cpu.max", "5002 10000")
	assert.Empty(t, b.step(spec, time.Second))
	assert.Equal(t, "5002 10000", b.read("cpu.max"), "the kernel would double it again")
	assert.Equal(t, "5002 10000", b.ceiling.Status().ReadBack)

	left, err := enforce.Adopt(b.node, false, zap.NewNop())
	require.NoError(t, err)
	require.Len(t, left.Actions, 1)
	assert.Equal(t, enforce.ActionAdopt, left.Actions[0].Kind)

	for _, orphan := range left.Ceilings {
		b.ceiling.Adopt(orphan)
	}

	spec.Millicores = 300
	assert.Equal(t, []string{enforce.ActionAdjust}, b.step(spec, time.Second))
	assert.Equal(t, "1501 5000", b.read("cpu.max"))

	b.write("cpu.max", "3002 10000")
	assert.Equal(t, []string{enforce.ActionRelease}, b.step(nil, 0))
	assert.Equal(t, "8000 5000", b.read("cpu.max"))
	b.noJournal()
}
