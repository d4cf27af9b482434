// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/test/plant"
)

// TestVerdict_ContainedAndAdvice: a spin that goes on is contained; after two probes a person is told to restart it.
func TestVerdict_ContainedAndAdvice(t *testing.T) {
	l, r := newLoop(t, cpuRule), &recorder{}

	l.Run(2*time.Hour, 0.9, r.see)
	require.GreaterOrEqual(t, len(r.verdicts), 3)

	for i, v := range r.verdicts {
		assert.Equal(t, policy.OutcomeContained, v.Outcome)
		assert.Equal(t, i+1, v.FailedProbes)
		assert.Equal(t, i > 0, v.Restart())
	}

	const reason = "the breach goes on without the ceiling (900m); under it CPU was 44 % lower, TX was 44 % lower, allocation was 44 % lower"

	assert.Equal(t, reason, r.verdicts[0].Reason)
	assert.Equal(t, reason+"; restart the pod, because the ceiling does not end the breach", r.verdicts[1].Reason)
	assert.Equal(t, len(r.verdicts), r.last.Hold.FailedProbes)

	retrip := r.changes[2]
	require.Equal(t, policy.EventRetrip, retrip.event)
	assert.InDelta(t, 0.9, retrip.decision.Breach.Value, 0.01)
	assert.Equal(t, "CPU", retrip.decision.Breach.Rule.Name)

	// It goes on over a restart of the guard, and ends with the breach.
	assert.Equal(t, r.last.Hold.FailedProbes, l.Engine.SavedState().Hold.FailedProbes)

	l.Run(3*time.Hour, 0.05, r.see)
	last := r.verdicts[len(r.verdicts)-1]
	assert.Equal(t, policy.OutcomeEnded, last.Outcome)
	assert.False(t, last.Restart())
	assert.Zero(t, l.Engine.SavedState().Hold.FailedProbes)
}

// TestVerdict_DuringBeginsAtTheWrite: what was used between the trip and the write was used without the ceiling.
func TestVerdict_DuringBeginsAtTheWrite(t *testing.T) {
	engine := newLoop(t, cpuRule).Engine
	p, quota, since := plant.Plant{}, 0.0, time.Duration(0)

	var verdict *policy.Verdict

	for verdict == nil {
		require.Less(t, p.Sample.At, time.Hour)

		sample := p.Run(time.Second, 1.8, quota)
		decision := engine.Step(sample)
		verdict = decision.Verdict

		switch hold := decision.Hold; {
		case !decision.Held || hold.Probing:
			quota, p.Sample.Applied = 0, 0
		case hold.Since != since && quota == 0 && sample.At >= hold.Since+5*time.Minute:
			// The write takes five minutes.
			quota, p.Sample.Applied, since = 0.5, sample.At, hold.Since
		}
	}

	assert.InDelta(t, 0.5, verdict.During.Cores(), 0.01)
	assert.InDelta(t, 5*time.Minute, verdict.During.Over, float64(2*time.Second))
}

// TestVerdict_Outcomes by what was used under the ceiling and without it.
func TestVerdict_Outcomes(t *testing.T) {
	minute := func(cores float64) policy.Usage {
		return policy.Usage{Over: time.Minute, CoreSeconds: 60 * cores, TXBytes: 60e6 * cores, MirrorRequests: 100, MirrorHits: 90}
	}

	unready, missing, idle := minute(0.5), minute(0.5), minute(0.5)
	unready.UnreadySeconds, missing.MirrorHits, idle.MirrorRequests, idle.MirrorHits = 20, 40, 3, 0

	for name, test := range map[string]struct {
		verdict   policy.Verdict
		throttled time.Duration
		end       policy.End
		want      policy.Outcome
		reason    string
	}{
		"over":    {policy.Verdict{During: minute(0.5), After: minute(0.1)}, 0, policy.EndQuiet, policy.OutcomeEnded, "the breach is over: 100m without the ceiling"},
		"goes on": {policy.Verdict{During: minute(0.5), After: minute(1)}, 0, policy.EndBreach, policy.OutcomeContained, "the breach goes on without the ceiling (1000m); under it CPU was 50 % lower, TX was 50 % lower"},
		"allocation not read": {
			policy.Verdict{During: minute(0.95), After: policy.Usage{Over: time.Minute, CoreSeconds: 60, TXBytes: 60e6, AllocatedBytes: 1e9, AllocatedOver: time.Minute}},
			0, policy.EndBreach, policy.OutcomeNoEffect, "the breach goes on without the ceiling (1000m), and CPU, TX and allocation were not lower under it by a tenth or more",
		},
		"as much":             {policy.Verdict{During: minute(0.95), After: minute(1)}, 0, policy.EndBreach, policy.OutcomeNoEffect, "the breach goes on without the ceiling (1000m), and CPU, TX and allocation were not lower under it by a tenth or more"},
		"not measured":        {policy.Verdict{During: minute(0.5)}, 0, policy.EndUnknown, policy.OutcomeUnknown, "the time without the ceiling could not be measured"},
		"ceiling not seen":    {policy.Verdict{After: minute(1)}, 0, policy.EndBreach, policy.OutcomeUnknown, "the breach goes on; the usage under the ceiling or without it was not measured"},
		"starved":             {policy.Verdict{During: minute(0.1), After: minute(1)}, 40 * time.Second, policy.EndBreach, policy.OutcomeHarmed, "throttled at the floor for 40s of 1m"},
		"not ready":           {policy.Verdict{Before: minute(1), During: unready, After: minute(1)}, 0, policy.EndQuiet, policy.OutcomeHarmed, "not ready for 33 % of the time under the ceiling"},
		"never ready":         {policy.Verdict{Before: unready, During: unready, After: minute(0.1)}, 0, policy.EndQuiet, policy.OutcomeEnded, "the breach is over: 100m without the ceiling"},
		"fewer hits":          {policy.Verdict{Before: minute(1), During: missing, After: minute(1)}, 0, policy.EndQuiet, policy.OutcomeHarmed, "40 % of the mirror requests were served under the ceiling, 90 % without it"},
		"too few to be known": {policy.Verdict{Before: minute(1), During: idle, After: minute(0.1)}, 0, policy.EndQuiet, policy.OutcomeEnded, "the breach is over: 100m without the ceiling"},
	} {
		t.Run(name, func(t *testing.T) {
			policy.Judge(&test.verdict, test.throttled, test.end)
			assert.Equal(t, test.want, test.verdict.Outcome)
			assert.Equal(t, test.reason, test.verdict.Reason)
		})
	}
}

// TestVerdict_AllocationOfWholeReadings: application metrics are read each 10 s, and a probe may be over after 13 s. A reading that
// began under the ceiling says nothing about the time without it.
func TestVerdict_AllocationOfWholeReadings(t *testing.T) {
	l := newLoop(t, cpuRule)

	var (
		read    policy.Counter
		p       plant.Plant
		quota   float64
		verdict *policy.Verdict
	)

	for verdict == nil {
		require.Less(t, p.Sample.At, time.Hour)

		sample := p.Run(time.Second, 1.8, quota)
		if sample.At-read.At >= 10*time.Second {
			read = policy.Counter{Total: sample.Allocation.Total, At: sample.At}
		}

		sample.Allocation = read
		decision := l.Engine.Step(sample)
		verdict = decision.Verdict

		quota, p.Sample.Applied = 0, 0
		if decision.Held && decision.Hold.Enforced() {
			quota, p.Sample.Applied = 0.5, decision.Hold.Since
		}
	}

	assert.InDelta(t, 0.5*plant.CulpritRates.Allocation, verdict.During.AllocatedPerSecond(), 1)

	if verdict.After.AllocatedOver > 0 {
		assert.InDelta(t, 1.8*plant.CulpritRates.Allocation, verdict.After.AllocatedPerSecond(), 1)
	}

	assert.Less(t, verdict.After.AllocatedOver, verdict.After.Over)
}

// TestVerdict_SuspensionEndsAProbe: a moment of it says nothing about the breach.
func TestVerdict_SuspensionEndsAProbe(t *testing.T) {
	l, r := newLoop(t, cpuRule), &recorder{}

	l.Run(11*time.Minute, 1.8, r.see)
	for !r.last.Hold.Probing {
		l.Run(time.Second, 1.8, r.see)
	}

	l.Plant.Sample.Suspended = true
	l.Run(time.Second, 1.8, r.see)

	require.Len(t, r.verdicts, 1)
	assert.Equal(t, policy.OutcomeUnknown, r.verdicts[0].Outcome)
}
