// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/test/node"
)

// TestCeiling_HoldsUnderShortPeriods: the kernel takes no quota below 1 ms, so that a ceiling in a period of 1 ms would be at
// least a whole core. The owner's period comes back with the owner's quota.
func TestCeiling_HoldsUnderShortPeriods(t *testing.T) {
	for owner, spec := range map[string]node.PodSpec{
		"max 1000":  {CPUPeriod: 1000},
		"1500 1000": {CPUPeriod: 1000, CPUQuota: 1500},
	} {
		t.Run(owner, func(t *testing.T) {
			l := newLoop(t, fast, func(pod *node.PodSpec) { pod.CPUQuota, pod.CPUPeriod = spec.CPUQuota, spec.CPUPeriod })
			require.Equal(t, owner, cpuMax(t, l.spegel))

			l.runAway(t, l.spegel, l.peer)
			waitCPUMax(t, l, l.spegel, ceiling500, patience)
			assertThrottled(t, l.spegel)

			l.calm(t, l.spegel)
			waitCPUMax(t, l, l.spegel, owner, patience)
			noJournals(t)
		})
	}
}
