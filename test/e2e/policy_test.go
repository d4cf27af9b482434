// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"math"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/pkg/trace"
	"github.com/spegel-guard/spegel-guard/test/node"
)

// A load of bursts that a rule with "for" does not detect: each burst is short, the average is far above the threshold.
// Each advertisement costs a fixed CPU time, so the traffic is 60 kB for a core-second on any machine. The traffic at the
// floor is below the threshold, that of a core far above it.
const (
	burstOn, burstOff = 5 * time.Second, 4 * time.Second
	burstCost         = 20 * time.Millisecond
	burstLimit        = 8e3
	// leastCredit in bytes is the least initial credit of the rule below: three quarters of its capacity.
	leastCredit = 0.75 * 100e3
	// topMillicores is the first ceiling.
	topMillicores = 1000

	burstDocument = `
interval: 200ms
rules:
  - {name: Plain, signal: networkTx, threshold: 8k/s, for: 10s, window: 2s}
  - {name: Credit, signal: networkTx, credit: {earn: 8k/s, capacity: 100k}, window: 2s}
ceiling: {cpu: "1", floor: 100m, strategy: adaptive, step: 60%, hold: 30m, releaseAfter: 8s}
trace: {path: /run/spegel-guard/trace.jsonl}
`
)

// TestAdaptive_LowersTrafficToThreshold runs bursts. The assertions use the kernel's counters.
func TestAdaptive_LowersTrafficToThreshold(t *testing.T) {
	const recorded = "/run/spegel-guard/trace.jsonl"

	require.NoError(t, os.RemoveAll(recorded))

	l := newLoop(t, burstDocument, nil)

	before := count(t, l.spegel)

	require.NoError(t, l.spegel.Steer(t.Context(), map[string]any{
		"mode": "periodic", "blobs": 1053, "workers": 2, "cost": burstCost, "peers": []string{l.peer.IP + ":5001"}, "on": burstOn, "off": burstOff,
	}))

	require.Eventually(t, func() bool { return cpuMax(t, l.spegel) != unlimited }, patience, 50*time.Millisecond, "no ceiling\n%s", l.guard.Log)

	// The number of bursts depends on the speed of the machine, the number of bytes does not.
	assert.GreaterOrEqual(t, float64(count(t, l.spegel).since(before).tx), leastCredit, "the ceiling was applied before the credit was spent")

	var value string

	require.Eventually(t, func() bool {
		value = cpuMax(t, l.spegel)
		peak := peakTX(t, l.spegel)
		t.Logf("cpu.max %s, peak TX %.0f B/s", value, peak)

		// peakTX takes a whole cycle, during which the ceiling must not change.
		return value != unlimited && peak <= burstLimit && cpuMax(t, l.spegel) == value
	}, 2*patience, time.Millisecond, "TX stays above the threshold\n%s", l.guard.Log)

	applied, err := cgroup.ParseCPUMax(value)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, applied.Cores(), 0.1, "the ceiling is below the floor")
	assert.Equal(t, "Credit", waitCeiling(t, l.guard, resources.CeilingApplied, unlimited).Rule, "rule of the ceiling")

	l.replayed(t, recorded)
	assert.Equal(t, unlimited, cpuMax(t, l.peer), "cpu.max of the bystander")
}

// peakTX returns the highest average over at least two seconds within a cycle of bursts, in bytes per second.
func peakTX(t *testing.T, pod *node.Pod) float64 {
	t.Helper()

	const part, parts = 500 * time.Millisecond, 4

	var (
		peak  float64
		bytes []uint64
		times []time.Time
	)

	for start := time.Now(); time.Since(start) < burstOn+burstOff; time.Sleep(part) {
		sent, err := pod.TXBytes()
		require.NoError(t, err)

		bytes, times = append(bytes, sent), append(times, time.Now())

		if n := len(bytes) - 1; n >= parts {
			peak = max(peak, float64(bytes[n]-bytes[n-parts])/times[n].Sub(times[n-parts]).Seconds())
		}
	}

	return peak
}

// replayed checks that a replay of the recorded trace leads to the ceiling that is in force.
func (l *loop) replayed(t *testing.T, path string) {
	t.Helper()

	var (
		events []policy.Event
		last   policy.Decision
	)

	// A decision is recorded before it is in force.
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		events, last = replay(t, path)

		applied, err := cgroup.ParseCPUMax(cpuMax(t, l.spegel))
		require.NoError(c, err)
		assert.Equal(c, int64(applied.Cores()*1000+0.5), last.Hold.Millicores)
	}, patience, 500*time.Millisecond)

	t.Logf("replay: %v, last %dm", events, last.Hold.Millicores)
	require.NotEmpty(t, events)
	assert.Equal(t, policy.EventTrip, events[0])
	assert.Equal(t, "Credit", last.Hold.Rule)

	// A ceiling of one core is too high, except if the host is so busy that the guest never got a core.
	stepped := slices.Contains(events, policy.EventStepDown)
	assert.Equal(t, stepped, last.Hold.Millicores < topMillicores, "a lower ceiling comes from a step down: %v", events)
}

func replay(t *testing.T, path string) (events []policy.Event, last policy.Decision) {
	t.Helper()

	file, err := os.Open(path)
	require.NoError(t, err)

	defer file.Close()

	require.NoError(t, trace.Replay(file, nil, func(s trace.Step) {
		if last = s.Decision; last.Event != "" {
			events = append(events, last.Event)
		}
	}))

	return events, last
}

// TestProbe_ContinuesHoldDuringBreach: the first probe finds the breach and the ceiling is applied again for a longer hold.
// After the load has ended the ceiling is released.
func TestProbe_ContinuesHoldDuringBreach(t *testing.T) {
	const firstHold, factor = 3 * time.Second, 3

	l := newLoop(t, `
interval: 200ms
rules: [{name: SpegelHighCPU, signal: cpu, threshold: 250m, for: 2s, window: 2s}]
ceiling: {cpu: 150m, hold: 3s, releaseAfter: 3s, probe: 4s, backoff: {factor: 3, max: 1m}}
`, nil)

	desired := make(chan state.Event, 1024)
	require.NoError(t, l.guard.Client.COSI.WatchKind(t.Context(), resources.NewDesiredCeiling("").Metadata(), desired))

	// A probe is short, so the test watches the resource and does not poll cpu.max.
	spec := func(match func(resources.DesiredCeilingSpec) bool) (found resources.DesiredCeilingSpec) {
		waitEvent(t, desired, func(r resource.Resource) bool {
			found = *r.(*resources.DesiredCeiling).TypedSpec()

			return !found.None() && match(found)
		})

		return found
	}

	l.runAway(t, l.spegel, l.peer)

	first := spec(func(s resources.DesiredCeilingSpec) bool { return !s.Probing })
	assert.Equal(t, firstHold, first.HoldUntilClock-first.SinceClock)

	// Under a ceiling of 150m the usage is below the threshold of 250m, but the workload is throttled.
	spec(func(s resources.DesiredCeilingSpec) bool { return s.Probing })
	assert.GreaterOrEqual(t, boottime.Now(), first.HoldUntilClock, "before the end of the hold")

	// The next hold is three times as long and begins at the end of the probe.
	again := spec(func(s resources.DesiredCeilingSpec) bool { return !s.Probing && s.FailedProbes == 1 })
	assert.GreaterOrEqual(t, again.HoldUntilClock, first.HoldUntilClock+factor*firstHold)
	assert.LessOrEqual(t, again.HoldUntilClock, boottime.Now()+factor*firstHold)

	waitCPUMax(t, l, l.spegel, "15001 100000", patience)

	verdict := waitVerdict(t, l.guard)
	assert.Equal(t, string(policy.OutcomeContained), verdict.Outcome, "the breach continued after the ceiling: %s", verdict.Reason)

	// The load ends during the second hold.
	l.calm(t, l.spegel)
	waitCPUMax(t, l, l.spegel, unlimited, patience)
	assert.GreaterOrEqual(t, boottime.Now(), again.HoldUntilClock, "before the end of the hold")

	_, err := l.guard.WaitState(t.Context(), patience, resources.StateOK)
	require.NoError(t, err)
}

// waitVerdict waits for the verdict of a failed probe.
func waitVerdict(t *testing.T, guard *node.Guard) resources.VerdictSpec {
	t.Helper()

	var spec resources.VerdictSpec

	require.Eventually(t, func() bool {
		verdicts, err := safe.StateListAll[*resources.Verdict](t.Context(), guard.Client.COSI)
		if err != nil || verdicts.Len() != 1 || verdicts.Get(0).TypedSpec().FailedProbes == 0 {
			return false
		}

		spec = *verdicts.Get(0).TypedSpec()

		return true
	}, patience, 100*time.Millisecond)

	return spec
}

// TestCredit_SurvivesContainerRestart: the credit belongs to the workload and is not refilled by a restart.
func TestCredit_SurvivesContainerRestart(t *testing.T) {
	l := newLoop(t, `
interval: 200ms
rules: [{name: Credit, signal: cpu, credit: {earn: 10m, capacity: 5m}, window: 2s}]
`, nil)

	credit := func() float64 {
		rule, err := safe.StateGetByID[*resources.RuleStatus](t.Context(), l.guard.Client.COSI, "spegel/spegel-x7k2p/registry/Credit")

		switch {
		case state.IsNotFoundError(err):
			return -1
		case err != nil:
			return math.NaN() // meets no condition
		default:
			return rule.TypedSpec().Credit
		}
	}

	require.Eventually(t, func() bool { return credit() > 0 }, patience, 100*time.Millisecond)

	const spends = 0.02 // 6 core-seconds

	start := credit()

	l.runAway(t, l.spegel, l.peer)
	require.Eventually(t, func() bool { return credit() < start-spends }, patience, 100*time.Millisecond, "the credit is not spent")

	spent := credit()

	l.calm(t, l.spegel)
	require.NoError(t, l.spegel.StopContainer(t.Context()))
	require.Eventually(t, func() bool { return credit() == -1 }, patience, 100*time.Millisecond, "the rule of the removed target is still published")
	require.NoError(t, l.spegel.StartContainer(t.Context()))
	require.Eventually(t, func() bool { return credit() > 0 }, patience, 100*time.Millisecond)

	kept := credit()
	require.Positive(t, kept)
	assert.Less(t, kept, (start+spent)/2, "the credit was refilled")
}
