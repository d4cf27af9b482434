// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
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

// bursts is the load that a plain `for` misses: never above for long, far above in the long run. Each advertisement
// costs so much processor time that the traffic follows it, 60 kB for a core-second, on any machine: the floor is under
// the threshold, and a core far above it.
const (
	burstOn, burstOff = 5 * time.Second, 4 * time.Second
	burstCost         = 20 * time.Millisecond
	burstLimit        = 8e3
	// leastCredit in bytes is what the credit below starts with at least: three quarters of its capacity.
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

// TestAdaptiveCeilingBringsTrafficUnderItsThreshold runs bursts; what is asserted comes from the
// kernel's counters, not from the guard.
func TestAdaptiveCeilingBringsTrafficUnderItsThreshold(t *testing.T) {
	const recorded = "/run/spegel-guard/trace.jsonl"

	require.NoError(t, os.RemoveAll(recorded))

	l := newLoop(t, burstDocument, nil)

	before := count(t, l.spegel)

	require.NoError(t, l.spegel.Steer(t.Context(), map[string]any{
		"mode": "periodic", "blobs": 1053, "workers": 2, "cost": burstCost, "peers": []string{l.peer.IP + ":5001"}, "on": burstOn, "off": burstOff,
	}))

	require.Eventually(t, func() bool { return cpuMax(t, l.spegel) != unlimited }, patience, 50*time.Millisecond, "no ceiling\n%s", l.guard.Log)

	// How many bursts that takes depends on the machine's speed; what they send together does not.
	assert.GreaterOrEqual(t, float64(count(t, l.spegel).since(before).tx), leastCredit, "no ceiling before the credit is spent")

	var value string

	require.Eventually(t, func() bool {
		value = cpuMax(t, l.spegel)
		peak := peakTX(t, l.spegel)
		t.Logf("cpu.max %s, peak TX %.0f B/s", value, peak)

		// Through a whole cycle, with the ceiling as it is.
		return value != unlimited && peak <= burstLimit && cpuMax(t, l.spegel) == value
	}, 2*patience, time.Millisecond, "TX never came under the threshold\n%s", l.guard.Log)

	applied, err := cgroup.ParseCPUMax(value)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, applied.Cores(), 0.1, "not below the floor")
	assert.Equal(t, "Credit", waitCeiling(t, l.guard, resources.CeilingApplied, unlimited).Rule, "plain `for` never fired")

	l.replayed(t, recorded)
	assert.Equal(t, unlimited, cpuMax(t, l.peer), "the bystander")
}

// peakTX is the highest average over two seconds, or some more, within a cycle of bursts.
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

// replayed checks that the trace the daemon recorded leads to what the daemon did.
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

	// One core is far too much, unless the machine is so busy otherwise that it never had a core for the guest.
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

// TestAProbeFindsTheBreachGoingOn and then that it is over.
func TestAProbeFindsTheBreachGoingOn(t *testing.T) {
	const firstHold, factor = 5 * time.Second, 3

	l := newLoop(t, `
interval: 200ms
rules: [{name: SpegelHighCPU, signal: cpu, threshold: 400m, for: 2s, window: 2s}]
ceiling: {cpu: 300m, hold: 5s, releaseAfter: 4s, probe: 4s, backoff: {factor: 3, max: 1m}}
`, nil)

	wanted := make(chan state.Event, 1024)
	require.NoError(t, l.guard.Client.COSI.WatchKind(t.Context(), resources.NewDesiredCeiling("").Metadata(), wanted))

	// A probe is short: it is seen in the record, not in a file that is looked at now and then.
	spec := func(match func(resources.DesiredCeilingSpec) bool) (found resources.DesiredCeilingSpec) {
		waitEvent(t, wanted, func(r resource.Resource) bool {
			found = *r.(*resources.DesiredCeiling).TypedSpec()

			return !found.None() && match(found)
		})

		return found
	}

	l.runAway(t, l.spegel, l.peer)

	first := spec(func(s resources.DesiredCeilingSpec) bool { return !s.Probing })
	assert.Equal(t, firstHold, first.HoldUntilClock-first.SinceClock)

	// Under 300m usage is below the threshold of 400m; only what is held back tells.
	spec(func(s resources.DesiredCeilingSpec) bool { return s.Probing })
	assert.GreaterOrEqual(t, boottime.Now(), first.HoldUntilClock, "not before the hold")

	// The next hold is three times as long, from the end of the probe on.
	again := spec(func(s resources.DesiredCeilingSpec) bool { return !s.Probing })
	assert.GreaterOrEqual(t, again.HoldUntilClock, first.HoldUntilClock+factor*firstHold)
	assert.LessOrEqual(t, again.HoldUntilClock, boottime.Now()+factor*firstHold)

	waitCPUMax(t, l, l.spegel, "30001 100000", patience)

	verdict := waitVerdict(t, l.guard)
	assert.Equal(t, string(policy.OutcomeHelped), verdict.Outcome)
	assert.False(t, verdict.Ended, "it slowed the spin, it did not end it")

	// By its end the load is gone.
	l.calm(t, l.spegel)
	waitCPUMax(t, l, l.spegel, unlimited, patience)
	assert.GreaterOrEqual(t, boottime.Now(), again.HoldUntilClock, "not before the hold")

	_, err := l.guard.WaitState(t.Context(), patience, resources.StateOK)
	require.NoError(t, err)
}

func waitVerdict(t *testing.T, guard *node.Guard) resources.VerdictSpec {
	t.Helper()

	var spec resources.VerdictSpec

	require.Eventually(t, func() bool {
		verdicts, err := safe.StateListAll[*resources.Verdict](t.Context(), guard.Client.COSI)
		if err != nil || verdicts.Len() != 1 {
			return false
		}

		spec = *verdicts.Get(0).TypedSpec()

		return true
	}, patience, 100*time.Millisecond)

	return spec
}

// TestARestartDoesNotRefillTheCredit: what is known of a workload does not go with its container.
func TestARestartDoesNotRefillTheCredit(t *testing.T) {
	l := newLoop(t, `
interval: 200ms
rules: [{name: Credit, signal: cpu, credit: {earn: 10m, capacity: 2m}, window: 2s}]
`, nil)

	credit := func() float64 {
		rule, err := safe.StateGetByID[*resources.RuleStatus](t.Context(), l.guard.Client.COSI, "spegel/spegel-x7k2p/registry/Credit")
		if err != nil {
			return -1
		}

		return rule.TypedSpec().Credit
	}

	require.Eventually(t, func() bool { return credit() > 0 }, patience, 100*time.Millisecond)

	start := credit()

	l.runAway(t, l.spegel, l.peer)
	require.Eventually(t, func() bool { return credit() < start-0.1 }, patience, 100*time.Millisecond, "it spends more than it earns")

	spent := credit()

	l.calm(t, l.spegel)
	require.NoError(t, l.spegel.StopContainer(t.Context()))
	require.Eventually(t, func() bool { return credit() == -1 }, patience, 100*time.Millisecond, "the target is gone")
	require.NoError(t, l.spegel.StartContainer(t.Context()))
	require.Eventually(t, func() bool { return credit() > 0 }, patience, 100*time.Millisecond)

	assert.Less(t, credit(), (start+spent)/2, "not a new bucket")
}
