// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/test/node"
)

// TestCeiling_HoldsUnderShortPeriods: the kernel takes no quota below 1 ms, so that a ceiling in a period of 1 ms would be at
// least a whole core. The owner's period comes back with the owner's quota. On a busy machine the kernel doubles both when it finds the
// period too short. A ceiling of 200m needs a period of 5 ms, which is more than two doublings make of 1 ms.
func TestCeiling_HoldsUnderShortPeriods(t *testing.T) {
	const without, with = "max 1000", "1500 1000"

	// Two workloads of one guard, which have nothing else in common.
	l := newLoop(t, strings.Replace(fast, "cpu: 500m", "cpu: 200m", 1), func(pod *node.PodSpec) { pod.CPUPeriod = 1000 })

	limited := node.SpegelPod("spegel-limited")
	limited.CPUPeriod, limited.CPUQuota = 1000, 1500
	pods := map[string]*node.Pod{without: l.spegel, with: runPod(t, l.node, limited)}

	// One after the other: two loads at a time, and their peer, share two processors, which may be too few to exceed the threshold.
	for owner, pod := range pods {
		requireReads(t, pod, owner)
		require.NoError(t, pod.Steer(t.Context(), map[string]any{"mode": "sustained", "workers": 1, "peers": []string{l.peer.IP + ":5001"}}))
		waitCPUMax(t, l, pod, ceiling200, patience)
		assertThrottled(t, pod)
		l.calm(t, pod)
		require.Eventually(t, func() bool { return cpuMax(t, pod) != ceiling200 }, patience, 100*time.Millisecond, "%s", l.guard.Log)
		requireReads(t, pod, owner)
	}

	noJournals(t)
}

// requireReads requires that cpu.max is a value, or what the kernel makes of it on a busy machine.
func requireReads(t *testing.T, pod *node.Pod, written string) {
	t.Helper()

	value, err := cgroup.ParseCPUMax(cpuMax(t, pod))
	require.NoError(t, err)
	require.True(t, value.Reads(written), "cpu.max reads %q, expected %q", value, written)
}
