//go:build linux

package e2e

import (
	"os"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/pkg/trace"
	"github.com/spegel-guard/spegel-guard/test/node"
)

// bursts is the load that a plain `for` misses: never above for long, far above in the long run.
const (
	burstOn, burstOff = 5 * time.Second, 4 * time.Second
	burstLimit        = 250e3
	// leastCredit in bytes is what the credit below starts with at least: three quarters of its capacity.
	leastCredit = 0.75 * 9e6

	burstDocument = `
interval: 200ms
rules:
  - {name: Plain, signal: networkTx, threshold: 250k/s, for: 10s, window: 2s}
  - {name: Credit, signal: networkTx, credit: {earn: 250k/s, capacity: 9M}, window: 2s}
ceiling: {cpu: 500m, floor: 100m, strategy: adaptive, step: 60%, hold: 2m, releaseAfter: 8s}
trace: {path: /run/spegel-guard/trace.jsonl}
`
)

// TestAdaptiveCeilingBringsTrafficUnderItsThreshold runs bursts; what is asserted comes from the
// kernel's counters, not from the guard.
func TestAdaptiveCeilingBringsTrafficUnderItsThreshold(t *testing.T) {
	const recorded = "/run/spegel-guard/trace.jsonl"

	require.NoError(t, os.RemoveAll(recorded))

	l := newLoop(t, burstDocument, nil)

	before, err := l.spegel.TXBytes()
	require.NoError(t, err)

	require.NoError(t, l.spegel.Steer(t.Context(), map[string]any{
		"mode": "periodic", "blobs": 1053, "workers": 2, "peers": []string{l.peer.IP + ":5001"}, "on": burstOn, "off": burstOff,
	}))

	require.Eventually(t, func() bool { return cpuMax(t, l.spegel) != unlimited }, 2*time.Minute, 50*time.Millisecond,
		"no ceiling\n%s", l.guard.Log)

	// How many bursts that takes depends on the machine's speed; what they send together does not.
	after, err := l.spegel.TXBytes()
	require.NoError(t, err)
	assert.GreaterOrEqual(t, float64(after-before), leastCredit, "no ceiling before the credit is spent")

	var (
		peak  float64
		value string
	)

	require.Eventually(t, func() bool {
		value = cpuMax(t, l.spegel)
		peak = peakTX(t, l.spegel)
		t.Logf("cpu.max %s, peak TX %.0f B/s", value, peak)

		// Through a whole cycle, with the ceiling as it is.
		return peak <= burstLimit && cpuMax(t, l.spegel) == value && value != unlimited
	}, 2*time.Minute, time.Millisecond, "TX never came under the threshold\n%s", l.guard.Log)

	applied, err := cgroup.ParseCPUMax(value)
	require.NoError(t, err)
	assert.Less(t, applied.Cores(), 0.5, "500m are not low enough: it stepped down")
	assert.GreaterOrEqual(t, applied.Cores(), 0.1, "not below the floor")
	assert.Equal(t, "Credit", waitCeiling(t, l.guard, resources.CeilingApplied, unlimited).Rule, "plain `for` never fired")

	l.replayed(t, recorded, applied)
	assert.Equal(t, unlimited, cpuMax(t, l.peer), "the bystander")
}

// peakTX is the highest average over two seconds within a cycle of bursts.
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
func (l *loop) replayed(t *testing.T, path string, applied cgroup.CPUMax) {
	t.Helper()

	file, err := os.Open(path)
	require.NoError(t, err)

	defer file.Close()

	var (
		events []policy.Event
		last   policy.Decision
	)

	require.NoError(t, trace.Replay(file, nil, func(s trace.Step) {
		last = s.Decision

		if last.Event != "" {
			events = append(events, last.Event)
			t.Logf("replay: %s %s %dm", s.Elapsed, last.Event, last.Hold.Millicores)
		}
	}))

	require.NotEmpty(t, events)
	assert.Equal(t, policy.EventTrip, events[0])
	assert.Contains(t, events, policy.EventStepDown)
	assert.Equal(t, "Credit", last.Hold.Rule)
	assert.Equal(t, int64(applied.Cores()*1000+0.5), last.Hold.Millicores)
}

// TestAProbeFindsTheBreachGoingOn and then that it is over.
func TestAProbeFindsTheBreachGoingOn(t *testing.T) {
	l := newLoop(t, `
interval: 200ms
rules: [{name: SpegelHighCPU, signal: cpu, threshold: 400m, for: 2s, window: 2s}]
ceiling: {cpu: 300m, hold: 5s, releaseAfter: 4s, probe: 4s, backoff: {factor: 3, max: 1m}}
`, nil)

	l.runAway(t, l.spegel, l.peer)
	waitCPUMax(t, l, l.spegel, "30001 100000", patience)

	start := time.Now()

	// Under 300m usage is below the threshold of 400m; only what is held back tells.
	lifted := waitCPUMax(t, l, l.spegel, unlimited, patience)
	assert.GreaterOrEqual(t, lifted.Sub(start), 4*time.Second, "not before the hold")

	waitCPUMax(t, l, l.spegel, "30001 100000", patience)

	again := time.Now()

	verdict := waitVerdict(t, l.guard)
	assert.Equal(t, string(policy.OutcomeHelped), verdict.Outcome)
	assert.False(t, verdict.Ended, "it slowed the spin, it did not end it")

	// The next hold is three times as long, and by its end the load is gone.
	l.calm(t, l.spegel)

	freed := waitCPUMax(t, l, l.spegel, unlimited, patience)
	assert.GreaterOrEqual(t, freed.Sub(again), 14*time.Second)

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
rules: [{name: Credit, signal: cpu, credit: {earn: 50m, capacity: 2m}, window: 2s}]
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
	require.Eventually(t, func() bool { return credit() < start-0.1 }, patience, 100*time.Millisecond, "2 core-minutes at 0.85 a second beyond what is earned")

	spent := credit()

	require.NoError(t, l.spegel.StopContainer(t.Context()))
	require.Eventually(t, func() bool { return credit() == -1 }, patience, 100*time.Millisecond, "the target is gone")
	require.NoError(t, l.spegel.StartContainer(t.Context()))
	require.Eventually(t, func() bool { return credit() > 0 }, patience, 100*time.Millisecond)

	assert.InDelta(t, spent, credit(), 0.05, "not a new bucket")
}
