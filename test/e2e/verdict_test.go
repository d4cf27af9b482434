// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// judging has probes, and holds that do not grow. Its threshold is far below what a workload gets that shares a busy machine: a probe that
// measures no breach ends the ceiling.
const judging = `
interval: 200ms
rules: [{name: SpegelHighCPU, signal: cpu, threshold: 250m, for: 3s, window: 2s}]
ceiling: {cpu: 200m, floor: 100m, hold: 5s, releaseAfter: 4s, probe: 8s, backoff: {factor: 1, max: 1m}}
`

// cores returns the mean of a usage.
func cores(usage resources.Usage) float64 { return usage.CoreSeconds / usage.Over.Seconds() }

// judged returns the verdict on the last ceiling of newLoop's spegel; nil for none.
func (l *loop) judged(t *testing.T) *resources.VerdictSpec {
	t.Helper()

	verdict, err := safe.StateGetByID[*resources.Verdict](t.Context(), l.guard.Client.COSI, workloadID)
	if err != nil {
		return nil
	}

	return verdict.TypedSpec()
}

// failedProbe reads the counters until a number of probes of one breach have failed. It returns the verdict, and the next
// hold, which begins with the sample that ended the probe.
func (l *loop) failedProbe(t *testing.T, r *readings, number uint64) (verdict resources.VerdictSpec, next resources.DesiredCeilingSpec) {
	t.Helper()

	r.until(t, l, "failed probe", func(reading) bool {
		judged := l.judged(t)
		desired, err := safe.StateGetByID[*resources.DesiredCeiling](t.Context(), l.guard.Client.COSI, workloadID)

		if judged == nil || judged.FailedProbes != number || err != nil || desired.TypedSpec().FailedProbes != number {
			return false
		}

		verdict, next = *judged, *desired.TypedSpec()

		return true
	})

	// The sample that ended the probe may be newer than the last reading.
	r.read(t)
	t.Logf("verdict: %s: %s", verdict.Outcome, verdict.Reason)

	return verdict, next
}

// assertProbed compares a verdict after a probe with the readings. The probe ended when the next hold began.
func (r *readings) assertProbed(t *testing.T, verdict resources.VerdictSpec, tripped, end time.Duration) {
	t.Helper()

	lifted := end - verdict.After.Over

	r.assertUsage(t, "before", verdict.Before, tripped-verdict.Before.Over, tripped)
	r.assertUsage(t, "during", verdict.During, lifted-verdict.During.Over, lifted)
	r.assertUsage(t, "after", verdict.After, lifted, end)
}

// TestVerdict_ContainedUntilRestart: a spin goes on when the ceiling is lifted, and when the load that began it has ended. After
// two probes a person is told to restart the pod, which ends it.
func TestVerdict_ContainedUntilRestart(t *testing.T) {
	l, r := newReadLoop(t, judging)
	peer := &readings{pod: l.peer}
	peer.read(t)

	// A datagram costs the emulated machine milliseconds, so a lookup costs many: the peer's share is that of the work.
	require.NoError(t, l.spegel.Steer(t.Context(), map[string]any{
		"mode": "spinning", "cost": 30 * time.Millisecond, "peers": []string{l.peer.IP + ":5001"},
	}))
	r.read(t)
	l.calm(t, l.spegel)

	both := func(condition func(reading) bool) func(reading) bool {
		return func(last reading) bool {
			peer.read(t)

			return condition(last)
		}
	}

	start := r.read(t)
	peer.read(t)

	written := r.until(t, l, "ceiling", both(func(last reading) bool { return last.cpuMax == ceiling200 }))
	tripped := heldSince(t, l)

	lifted := r.until(t, l, "probe", both(func(last reading) bool { return last.cpuMax == unlimited }))

	verdict, next := l.failedProbe(t, r, 1)
	assert.Equal(t, string(policy.OutcomeContained), verdict.Outcome, verdict.Reason)
	assert.NotContains(t, verdict.Reason, "restart", "one probe may be a coincidence")
	assert.Empty(t, client.Advice(workloadID, &next))
	r.assertProbed(t, verdict, tripped, next.SinceClock)

	// A peer works in proportion, so the ceiling of its culprit relieves it, too.
	free, freeTX := r.rate(t, start.at, tripped)
	peerFree, peerTX := peer.rate(t, start.at, tripped)
	peerUnder, _ := peer.rate(t, written.at, peer.all[len(peer.all)-2].at)

	t.Logf("peer: %.3f of %.3f cores, %.0f of %.0f B/s; %.3f cores under the ceiling until %s", peerFree, free, peerTX, freeTX, peerUnder, lifted.at)
	// Some answers of the peer may follow the trip.
	assert.InDelta(t, 0.55, peerTX/freeTX, 0.25, "share of the culprit's TX")
	// A third, and what the datagrams themselves cost the peer, which depends on the machine.
	assert.Less(t, peerFree, free)
	assert.Less(t, peerUnder, peerFree)

	verdict, next = l.failedProbe(t, r, 2)
	assert.Equal(t, string(policy.OutcomeContained), verdict.Outcome, verdict.Reason)
	assert.Contains(t, verdict.Reason, "restart the pod")
	assert.Contains(t, strings.Join(client.Advice(workloadID, &next), "\n"), "kubectl -n spegel delete pod spegel-x7k2p")
	r.assertProbed(t, verdict, tripped, next.SinceClock)

	// The ceiling follows the workload into its next container, in which nothing spins.
	require.NoError(t, l.spegel.StopContainer(t.Context()))
	require.NoError(t, l.spegel.StartContainer(t.Context()))

	calm := &readings{pod: l.spegel}
	calm.until(t, l, "verdict ended", func(reading) bool {
		judged := l.judged(t)
		if judged == nil || judged.Outcome != string(policy.OutcomeEnded) {
			return false
		}

		verdict = *judged

		return true
	})

	t.Logf("verdict: %s: %s", verdict.Outcome, verdict.Reason)
	assert.Equal(t, unlimited, cpuMax(t, l.spegel))

	// A probe may have measured the end of the spin.
	assert.Less(t, cores(verdict.After), cores(verdict.Before)/2, "cores after the ceiling")

	// The guard reads metrics of the workload, but not of the peer, which answers a spin. A spin uses 0.5 cores at least.
	const more, silent, over = 0.1, 1000.0, 2 * time.Second

	idle := &readings{pod: l.peer}
	idle.read(t)

	from := calm.read(t).at

	calm.until(t, l, "idle", func(last reading) bool {
		idle.read(t)

		if last.at < from+over {
			return false
		}

		used, _ := calm.rate(t, last.at-over, last.at)
		usual, answered := idle.rate(t, last.at-over, last.at)

		return used < usual+more && answered < silent
	})
	noJournals(t)
}

// TestVerdict_Ended: the load ends during the hold, so the ceiling is released and the breach is over without it. There are no probes: one
// would end the ceiling while a slow machine still throttles the calm workload.
func TestVerdict_Ended(t *testing.T) {
	l, r := newReadLoop(t, strings.Replace(judging, "probe: 8s", "probe: 0s", 1))
	l.runAway(t, l.spegel, l.peer)

	written := r.until(t, l, "ceiling", func(last reading) bool { return last.cpuMax != unlimited })
	tripped := heldSince(t, l)

	// Some seconds of the load under the ceiling are in the verdict.
	r.until(t, l, "periods", func(last reading) bool { return last.since(written.counted).periods >= 30 })
	l.calm(t, l.spegel)

	r.until(t, l, "release", func(last reading) bool { return last.cpuMax == unlimited })
	r.until(t, l, "verdict", func(reading) bool { return l.judged(t) != nil })

	verdict := *l.judged(t)
	t.Logf("verdict: %s: %s", verdict.Outcome, verdict.Reason)
	assert.Equal(t, string(policy.OutcomeEnded), verdict.Outcome, verdict.Reason)
	assert.Zero(t, verdict.FailedProbes)

	// The sample that ended the ceiling.
	end := verdict.Clock - verdict.After.Over

	r.assertUsage(t, "before", verdict.Before, tripped-verdict.Before.Over, tripped)
	r.assertUsage(t, "during", verdict.During, end-verdict.During.Over, end)
	r.read(t)
	r.assertUsage(t, "after", verdict.After, end, verdict.Clock)
	noJournals(t)
}

// TestVerdict_Harmed: a ceiling at the floor leaves a busy workload almost nothing.
func TestVerdict_Harmed(t *testing.T) {
	l, r := newReadLoop(t, strings.NewReplacer("cpu: 200m", "cpu: 100m", "hold: 5s", "hold: 20s").Replace(judging))
	l.runAway(t, l.spegel, l.peer)

	written := r.until(t, l, "ceiling", func(last reading) bool { return last.cpuMax == "10001 100000" })
	tripped := heldSince(t, l)

	lifted := r.until(t, l, "probe", func(last reading) bool { return last.cpuMax == unlimited })
	verdict, next := l.failedProbe(t, r, 1)

	assert.Equal(t, string(policy.OutcomeHarmed), verdict.Outcome, verdict.Reason)
	assert.Contains(t, verdict.Reason, "throttled at the floor")
	r.assertProbed(t, verdict, tripped, next.SinceClock)

	under := lifted.since(written.counted)
	t.Logf("under the ceiling: %+v", under)
	assert.Greater(t, under.throttled, under.periods/2, "the kernel throttled it in most periods")
}
