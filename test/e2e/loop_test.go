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
	unlimited = "max 100000"
	capped    = "50001 100000"
)

// TestClosedLoop is the project's main job: seen, capped, calmed down, released.
func TestClosedLoop(t *testing.T) {
	l := newLoop(t, fast, nil)
	ctx := t.Context()

	_, err := l.guard.WaitState(ctx, patience, resources.StateOK)
	require.NoError(t, err)
	require.Equal(t, unlimited, cpuMax(t, l.spegel))

	before, err := node.AllCPUMax()
	require.NoError(t, err)

	states := make(chan state.Event, 1024)
	require.NoError(t, l.guard.Client.COSI.WatchKind(ctx, resources.NewGuardStatus("").Metadata(), states))

	// Two equally busy containers; only one of them is spegel. The peer sends to itself: what spegel takes in would
	// count as its own.
	start, idle := time.Now(), count(t, l.spegel)

	l.runAway(t, l.spegel, l.peer)
	l.runAway(t, l.peer, l.peer)

	waitEvent(t, states, func(r resource.Resource) bool {
		return r.(*resources.GuardStatus).TypedSpec().State == resources.StatePending
	})

	trippedAt := waitCPUMax(t, l, l.spegel, capped, patience)
	assert.GreaterOrEqual(t, trippedAt.Sub(start), tripsAfter, "not before `for`")

	free := count(t, l.spegel).since(idle)
	assert.True(t, free.usage >= breachUsec || free.tx >= breachBytes, "the breach was one: %+v", free)

	underTheCeiling(t, l.spegel)

	status, err := l.guard.WaitState(ctx, patience, resources.StateThrottled)
	require.NoError(t, err)
	assert.Equal(t, "500m", status.Ceiling)
	assert.Equal(t, "spegel/spegel-x7k2p/registry", status.Target)

	// Demand keeps pressing: nothing is released, though the hold is over.
	time.Sleep(hold + 4*time.Second)
	assert.Equal(t, capped, cpuMax(t, l.spegel), "still demanding")

	// Nothing but the target was written to.
	during, err := node.AllCPUMax()
	require.NoError(t, err)

	for name, value := range during {
		if name != l.spegel.Cgroup && before[name] != "" {
			assert.Equal(t, before[name], value, name)
		}
	}

	l.calm(t, l.spegel)
	waitCPUMax(t, l, l.spegel, unlimited, patience)

	noJournals(t)
	assert.Equal(t, unlimited, cpuMax(t, l.peer), "the equally busy bystander")

	_, err = l.guard.WaitState(ctx, patience, resources.StateOK)
	require.NoError(t, err)
}

// What one of fast's rules needs at least before it fires: its threshold for as long as `for`.
const (
	breachUsec  = 400e3 * uint64(tripsAfter/time.Second)
	breachBytes = 500e3 * uint64(tripsAfter/time.Second)
)

// underTheCeiling compares the processor time used with the quota, both as the kernel counts them, through some
// periods. It has one period more for where the count begins and ends, and one for what was begun before the write.
func underTheCeiling(t *testing.T, pod *node.Pod) {
	t.Helper()

	const quotaUsec, periods, more = 50_001, 30, 2

	var used counted

	before := count(t, pod)

	require.Eventually(t, func() bool {
		used = count(t, pod).since(before)

		return used.periods >= periods
	}, patience, 100*time.Millisecond, "%+v", &used)

	t.Logf("under the ceiling: %+v", used)
	assert.LessOrEqual(t, used.usage, quotaUsec*(used.periods+more), "usage under the ceiling")
	assert.NotZero(t, used.throttled, "it wants more")
}

// TestOwnersLimitComesBack: the owner had a limit above the ceiling.
func TestOwnersLimitComesBack(t *testing.T) {
	l := newLoop(t, fast, func(spec *node.PodSpec) { spec.CPUQuota = 150_000 })
	require.Equal(t, "150000 100000", cpuMax(t, l.spegel))

	l.runAway(t, l.spegel, l.peer)
	waitCPUMax(t, l, l.spegel, capped, patience)

	l.calm(t, l.spegel)
	waitCPUMax(t, l, l.spegel, "150000 100000", patience)
}

// TestOwnersLowerLimitIsLeftAlone: nothing is written, and the status says so.
func TestOwnersLowerLimitIsLeftAlone(t *testing.T) {
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

// TestNetworkAloneTrips: the CPU rule is out of reach, the traffic is what trips. Any machine sends that much.
func TestNetworkAloneTrips(t *testing.T) {
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

// TestARestartedContainerIsCappedAtOnce: the decision belongs to the workload.
func TestARestartedContainerIsCappedAtOnce(t *testing.T) {
	l := newLoop(t, `
interval: 200ms
rules: [{name: SpegelHighCPU, signal: cpu, threshold: 400m, for: 10s, window: 2s}]
ceiling: {cpu: 500m, floor: 100m, hold: 5m, releaseAfter: 5s}
`, nil)

	l.runAway(t, l.spegel, l.peer)
	waitCPUMax(t, l, l.spegel, capped, patience)

	old, since := l.spegel.Cgroup, heldSince(t, l)
	require.NoError(t, l.spegel.StopContainer(t.Context()))
	require.NoError(t, l.spegel.StartContainer(t.Context()))
	require.NotEqual(t, old, l.spegel.Cgroup)

	waitCPUMax(t, l, l.spegel, capped, patience)
	assert.Equal(t, since, heldSince(t, l), "the rule did not have to fire again")
}

// TestObserveWritesNothing: everything is decided and shown, nothing done.
func TestObserveWritesNothing(t *testing.T) {
	l := newLoop(t, "mode: observe\n"+fast, nil)

	l.runAway(t, l.spegel, l.peer)

	_, err := l.guard.WaitState(t.Context(), patience, resources.StateFiring)
	require.NoError(t, err)

	time.Sleep(2 * time.Second)
	assert.Equal(t, unlimited, cpuMax(t, l.spegel))
	waitCeiling(t, l.guard, resources.CeilingObserved, "")
}

// TestStopReleases and a crash does not: the next process takes the ceiling over.
func TestStopReleasesAndACrashIsTakenOver(t *testing.T) {
	l := newLoop(t, `
interval: 200ms
rules: [{name: SpegelHighCPU, signal: cpu, threshold: 400m, for: 2s, window: 2s}]
ceiling: {cpu: 500m, floor: 100m, hold: 10m, releaseAfter: 2s}
`, nil)

	l.runAway(t, l.spegel, l.peer)
	waitCPUMax(t, l, l.spegel, capped, patience)

	l.crashAndRestart(t)
	assert.Equal(t, capped, cpuMax(t, l.spegel), "held over the crash")

	status, err := l.guard.WaitState(t.Context(), patience, resources.StateThrottled)
	require.NoError(t, err)
	assert.Equal(t, "SpegelHighCPU", status.Rule)
	assert.True(t, waitCeiling(t, l.guard, resources.CeilingApplied, unlimited).Adopted)

	code, took, err := l.guard.Stop(t.Context())
	require.NoError(t, err)
	assert.Zero(t, code, "killed after Talos' ten seconds")
	t.Logf("stopped within %s", took.Round(time.Millisecond))
	assert.Equal(t, unlimited, cpuMax(t, l.spegel), "a stop leaves nothing behind")
}

// TestTheOwnersNewValueIsWhatReleaseRestores: an in-place resize through the CRI while a ceiling holds.
func TestTheOwnersNewValueIsWhatReleaseRestores(t *testing.T) {
	l := newLoop(t, fast, nil)

	l.runAway(t, l.spegel, l.peer)
	waitCPUMax(t, l, l.spegel, capped, patience)

	require.NoError(t, l.spegel.Resize(t.Context(), 80_000))
	waitCPUMax(t, l, l.spegel, capped, patience)

	assert.Equal(t, uint64(1), waitCeiling(t, l.guard, resources.CeilingApplied, "80000 100000").ExternalChanges)

	// Lower than the ceiling: the owner's own value is the lower of the two, and stays.
	require.NoError(t, l.spegel.Resize(t.Context(), 30_000))
	waitCeiling(t, l.guard, resources.CeilingOwnerLower, "30000 100000")
	assert.Equal(t, "30000 100000", cpuMax(t, l.spegel))

	require.NoError(t, l.spegel.Resize(t.Context(), 90_000))
	waitCPUMax(t, l, l.spegel, capped, patience)

	// The very ceiling: still the owner's.
	require.NoError(t, l.spegel.Resize(t.Context(), 50_000))
	waitCeiling(t, l.guard, resources.CeilingOwnerLower, "50000 100000")

	require.NoError(t, l.spegel.Resize(t.Context(), 90_000))
	waitCPUMax(t, l, l.spegel, capped, patience)

	l.calm(t, l.spegel)
	waitCPUMax(t, l, l.spegel, "90000 100000", patience)

	noJournals(t)
}

// TestHostNetworkIsBlindForTraffic: the pod's traffic cannot be told from the node's; the other rule works on.
func TestHostNetworkIsBlindForTraffic(t *testing.T) {
	l := newLoop(t, fast, func(spec *node.PodSpec) { spec.HostNetwork = true })

	status, err := l.guard.WaitState(t.Context(), patience, resources.StateUnavailable)
	require.NoError(t, err)
	assert.Contains(t, status.Message, "uses the node's network")

	l.runAway(t, l.spegel, l.peer)
	waitCPUMax(t, l, l.spegel, capped, patience)

	l.calm(t, l.spegel)
	waitCPUMax(t, l, l.spegel, unlimited, patience)
}
