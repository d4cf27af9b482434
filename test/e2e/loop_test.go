// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/test/node"
)

const (
	unlimited  = "max 100000"
	ceiling500 = "50001 100000"
)

// TestClosedLoop_AppliesAndReleases: a runaway gets a ceiling, which is released after the load has ended.
func TestClosedLoop_AppliesAndReleases(t *testing.T) {
	l := newLoop(t, fast, nil)
	ctx := t.Context()

	_, err := l.guard.WaitState(ctx, patience, resources.StateOK)
	require.NoError(t, err)
	require.Equal(t, unlimited, cpuMax(t, l.spegel))

	before, err := node.AllCPUMax()
	require.NoError(t, err)

	states := make(chan state.Event, 1024)
	require.NoError(t, l.guard.Client.COSI.WatchKind(ctx, resources.NewGuardStatus("").Metadata(), states))

	// A container that is not spegel is as busy as spegel will be, for as long, and gets no ceiling. It is loaded alone first: two
	// loads at once could keep each other below the threshold. It sends to itself, because traffic that spegel receives would cost
	// CPU time of spegel.
	peerIdle := count(t, l.peer)

	l.runAway(t, l.peer, l.peer)
	require.Eventually(t, func() bool { return count(t, l.peer).since(peerIdle).usage >= 2*breachUsec }, patience, time.Second)
	time.Sleep(2 * tripsAfter)
	assertUnchanged(t, before)
	l.calm(t, l.peer)

	// A pause of the machine may count as usage of the workload.
	_, err = l.guard.WaitState(ctx, patience, resources.StateOK)
	require.NoError(t, err)

	start, idle := time.Now(), count(t, l.spegel)

	l.runAway(t, l.spegel, l.peer)

	waitEvent(t, states, func(r resource.Resource) bool {
		return r.(*resources.GuardStatus).TypedSpec().State == resources.StatePending
	})

	trippedAt := waitCPUMax(t, l, l.spegel, ceiling500, patience)
	assert.GreaterOrEqual(t, trippedAt.Sub(start), tripsAfter, "the rule fired before `for` had passed")

	free := count(t, l.spegel).since(idle)
	assert.True(t, free.usage >= breachUsec || free.tx >= breachBytes, "the rule fired without a breach: %+v", free)

	assertThrottled(t, l.spegel)

	status, err := l.guard.WaitState(ctx, patience, resources.StateThrottled)
	require.NoError(t, err)
	assert.Equal(t, "500m", status.Ceiling)
	assert.Equal(t, "spegel/spegel-x7k2p/registry", status.Target)

	// The workload is still throttled, so nothing is released although the hold is over.
	time.Sleep(hold + 4*time.Second)
	assert.Equal(t, ceiling500, cpuMax(t, l.spegel), "released while the workload was throttled")

	// cpu.max of every other cgroup is unchanged.
	delete(before, l.spegel.Cgroup)
	assertUnchanged(t, before)

	l.calm(t, l.spegel)
	waitCPUMax(t, l, l.spegel, unlimited, patience)

	noJournals(t)
	assert.Equal(t, unlimited, cpuMax(t, l.peer), "cpu.max of the bystander")

	_, err = l.guard.WaitState(ctx, patience, resources.StateOK)
	require.NoError(t, err)
}

// assertUnchanged compares cpu.max with its value in before, for each cgroup of before that still exists.
func assertUnchanged(t *testing.T, before map[string]string) {
	t.Helper()

	now, err := node.AllCPUMax()
	require.NoError(t, err)

	for name, value := range now {
		if before[name] != "" {
			assert.Equal(t, before[name], value, name)
		}
	}
}

// Usage and traffic that a rule of fast needs at least before it fires: its threshold for the time of `for`.
const (
	breachUsec  = 250e3 * uint64(tripsAfter/time.Second)
	breachBytes = 500e3 * uint64(tripsAfter/time.Second)
)

// assertThrottled waits until the CPU time of some periods, or of more, is at most their quota, both from the kernel. It allows one
// period more because the count begins and ends within a period, and one for the period that began before the write. The emulated
// machine charges a pause of the machine to the workload, whose next periods repay it. Without an effective ceiling the CPU time stays
// above the quota.
func assertThrottled(t *testing.T, pod *node.Pod) {
	t.Helper()

	const quotaUsec, periods, more = 50_001, 30, 2

	var used counted

	before := count(t, pod)

	require.Eventually(t, func() bool {
		used = count(t, pod).since(before)

		return used.periods >= periods && used.usage <= quotaUsec*(used.periods+more)
	}, patience, 100*time.Millisecond, "usage under the ceiling: %+v", &used)

	t.Logf("under the ceiling: %+v", used)
	assert.NotZero(t, used.throttled, "the quota was never used up")
}

// TestRelease_RestoresOwnersLimit: the owner's limit is above the ceiling and is restored on release.
func TestRelease_RestoresOwnersLimit(t *testing.T) {
	l := newLoop(t, fast, func(spec *node.PodSpec) { spec.CPUQuota = 150_000 })
	require.Equal(t, "150000 100000", cpuMax(t, l.spegel))

	l.runAway(t, l.spegel, l.peer)
	waitCPUMax(t, l, l.spegel, ceiling500, patience)

	l.calm(t, l.spegel)
	waitCPUMax(t, l, l.spegel, "150000 100000", patience)
}

// TestCeiling_LeavesLowerOwnersLimit: nothing is written if the owner's limit is below the ceiling.
func TestCeiling_LeavesLowerOwnersLimit(t *testing.T) {
	l := newLoop(t, `
interval: 200ms
rules: [{name: SpegelHighCPU, signal: cpu, threshold: 200m, for: 1s, window: 1s}]
ceiling: {cpu: 500m, floor: 100m, hold: 5s, releaseAfter: 3s}
`, func(spec *node.PodSpec) { spec.CPUQuota = 30_000 })

	l.runAway(t, l.spegel, l.peer)

	_, err := l.guard.WaitState(t.Context(), patience, resources.StateFiring)
	require.NoError(t, err)

	time.Sleep(2 * time.Second)
	assert.Equal(t, "30000 100000", cpuMax(t, l.spegel))

	noJournals(t)

	waitCeiling(t, l.guard, resources.CeilingOwnerLower, "30000 100000")
}

// TestRules_TripOnNetworkAlone: the threshold of the CPU rule cannot be reached, the rule on traffic trips. Any machine
// sends that much.
func TestRules_TripOnNetworkAlone(t *testing.T) {
	l := newLoop(t, `
interval: 200ms
rules:
  - {name: SpegelHighCPU, signal: cpu, threshold: "8", for: 1s, window: 1s}
  - {name: SpegelHighNetworkTX, signal: networkTx, threshold: 5k/s, for: 1s, window: 1s}
ceiling: {cpu: 200m, floor: 100m, hold: 3s, releaseAfter: 2s}
`, nil)

	l.runAway(t, l.spegel, l.peer)
	waitCPUMax(t, l, l.spegel, "20001 100000", patience)
	assert.Equal(t, "SpegelHighNetworkTX", waitCeiling(t, l.guard, resources.CeilingApplied, unlimited).Rule)

	l.calm(t, l.spegel)
	waitCPUMax(t, l, l.spegel, unlimited, patience)
}

// TestCeiling_FollowsRestartedContainer: a restarted container gets the ceiling of its workload at once.
func TestCeiling_FollowsRestartedContainer(t *testing.T) {
	l := newLoop(t, `
interval: 200ms
rules: [{name: SpegelHighCPU, signal: cpu, threshold: 250m, for: 3s, window: 2s}]
ceiling: {cpu: 500m, floor: 100m, hold: 5m, releaseAfter: 5s}
`, nil)

	l.runAway(t, l.spegel, l.peer)
	waitCPUMax(t, l, l.spegel, ceiling500, patience)

	old, since := l.spegel.Cgroup, heldSince(t, l)
	require.NoError(t, l.spegel.StopContainer(t.Context()))
	require.NoError(t, l.spegel.StartContainer(t.Context()))
	require.NotEqual(t, old, l.spegel.Cgroup)

	waitCPUMax(t, l, l.spegel, ceiling500, patience)
	assert.Equal(t, since, heldSince(t, l), "the rule fired again")
}

// TestObserve_WritesNothing: mode observe decides and reports, and writes nothing.
func TestObserve_WritesNothing(t *testing.T) {
	l := newLoop(t, "mode: observe\n"+fast, nil)

	l.runAway(t, l.spegel, l.peer)

	_, err := l.guard.WaitState(t.Context(), patience, resources.StateFiring)
	require.NoError(t, err)

	time.Sleep(2 * time.Second)
	assert.Equal(t, unlimited, cpuMax(t, l.spegel))
	assert.Empty(t, journals(t))
	waitCeiling(t, l.guard, resources.CeilingObserved, "")
}

// TestStop_ReleasesAdoptedCeiling: a crash leaves the ceiling in force, the next process adopts it, and a stop releases
// it.
func TestStop_ReleasesAdoptedCeiling(t *testing.T) {
	l := newLoop(t, `
interval: 200ms
rules: [{name: SpegelHighCPU, signal: cpu, threshold: 250m, for: 2s, window: 2s}]
ceiling: {cpu: 500m, floor: 100m, hold: 10m, releaseAfter: 2s}
`, nil)

	l.runAway(t, l.spegel, l.peer)
	waitCPUMax(t, l, l.spegel, ceiling500, patience)

	l.crashAndRestart(t)
	assert.Equal(t, ceiling500, cpuMax(t, l.spegel), "cpu.max after the crash")

	status, err := l.guard.WaitState(t.Context(), patience, resources.StateThrottled)
	require.NoError(t, err)
	assert.Equal(t, "SpegelHighCPU", status.Rule)
	assert.True(t, waitCeiling(t, l.guard, resources.CeilingApplied, unlimited).Adopted)

	code, took, err := l.guard.Stop(t.Context())
	require.NoError(t, err)
	assert.Zero(t, code, "Talos killed it after ten seconds")
	t.Logf("stopped within %s", took.Round(time.Millisecond))
	assert.Equal(t, unlimited, cpuMax(t, l.spegel), "cpu.max after the stop")
}

// TestRelease_RestoresChangedOwnersLimit: the CRI resizes the container in place while a ceiling is in force.
func TestRelease_RestoresChangedOwnersLimit(t *testing.T) {
	l := newLoop(t, fast, nil)

	l.runAway(t, l.spegel, l.peer)
	waitCPUMax(t, l, l.spegel, ceiling500, patience)

	require.NoError(t, l.spegel.Resize(t.Context(), 80_000))
	waitCPUMax(t, l, l.spegel, ceiling500, patience)

	assert.Equal(t, uint64(1), waitCeiling(t, l.guard, resources.CeilingApplied, "80000 100000").ExternalChanges)

	// The new limit is below the ceiling and stays.
	require.NoError(t, l.spegel.Resize(t.Context(), 30_000))
	waitCeiling(t, l.guard, resources.CeilingOwnerLower, "30000 100000")
	assert.Equal(t, "30000 100000", cpuMax(t, l.spegel))

	require.NoError(t, l.spegel.Resize(t.Context(), 90_000))
	waitCPUMax(t, l, l.spegel, ceiling500, patience)

	// The new limit equals the ceiling in millicores. The extra microsecond distinguishes them.
	require.NoError(t, l.spegel.Resize(t.Context(), 50_000))
	waitCeiling(t, l.guard, resources.CeilingOwnerLower, "50000 100000")

	require.NoError(t, l.spegel.Resize(t.Context(), 90_000))
	waitCPUMax(t, l, l.spegel, ceiling500, patience)

	l.calm(t, l.spegel)
	waitCPUMax(t, l, l.spegel, "90000 100000", patience)

	noJournals(t)
}

// TestStats_HostNetworkTrafficIsUnavailable: traffic of a pod in the node's network cannot be separated from the node's.
// The rule on CPU still works.
func TestStats_HostNetworkTrafficIsUnavailable(t *testing.T) {
	l := newLoop(t, fast, func(spec *node.PodSpec) { spec.HostNetwork = true })
	ctx := t.Context()

	// Every signal is unavailable before its first samples.
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		status, err := l.guard.Status(ctx)
		require.NoError(t, err)
		assert.Equal(t, resources.StateUnavailable, status.State)
		assert.Contains(t, status.Message, "uses the node's network")
	}, patience, 100*time.Millisecond, "%s", l.guard.Log)

	l.runAway(t, l.spegel, l.peer)
	waitCPUMax(t, l, l.spegel, ceiling500, patience)

	l.calm(t, l.spegel)
	waitCPUMax(t, l, l.spegel, unlimited, patience)
}
