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
	const without, with = "max 1000", "1500 1000"

	// Two workloads of one guard, which have nothing else in common.
	l := newLoop(t, fast, func(pod *node.PodSpec) { pod.CPUPeriod = 1000 })

	limited := node.SpegelPod("spegel-limited")
	limited.CPUPeriod, limited.CPUQuota = 1000, 1500
	pods := map[string]*node.Pod{without: l.spegel, with: runPod(t, l.node, limited)}

	// One after the other: two loads at a time, and their peer, share two processors, which may be too few to exceed the threshold. A load
	// uses one core at the most: a quota that is used up makes the kernel double a period that it finds too short for a slow machine.
	for owner, pod := range pods {
		require.Equal(t, owner, cpuMax(t, pod))
		require.NoError(t, pod.Steer(t.Context(), map[string]any{"mode": "sustained", "workers": 1, "peers": []string{l.peer.IP + ":5001"}}))
		waitCPUMax(t, l, pod, ceiling500, patience)
		assertThrottled(t, pod)
		l.calm(t, pod)
		waitCPUMax(t, l, pod, owner, patience)
	}

	noJournals(t)
}
