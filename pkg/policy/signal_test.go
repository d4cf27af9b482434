// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// TestSignals_MeasureTheirCounter: each signal reads the counter of its row, and judges verdicts by it.
func TestSignals_MeasureTheirCounter(t *testing.T) {
	sample := func(seconds float64) policy.Sample {
		return policy.Sample{
			At:  time.Duration(seconds * float64(time.Second)),
			CPU: policy.Counter{Total: 2 * seconds}, TX: policy.Counter{Total: 3000 * seconds}, RX: policy.Counter{Total: 5000 * seconds},
			Allocation: policy.Counter{Total: 7000 * seconds}, Pressure: policy.Counter{Total: 0.5 * seconds},
			Periods: uint64(10 * seconds), Throttled: uint64(2.5 * seconds),
		}
	}

	for signal, want := range map[policy.Signal]struct {
		value float64
		text  string
	}{
		policy.SignalCPU:         {2, "2000m"},
		policy.SignalNetworkTX:   {3000, "3.0 kB/s"},
		policy.SignalNetworkRX:   {5000, "5.0 kB/s"},
		policy.SignalAllocation:  {7000, "420 kB/min"},
		policy.SignalThrottled:   {0.25, "25 %"},
		policy.SignalCPUPressure: {0.5, "50 %"},
	} {
		t.Run(string(signal), func(t *testing.T) {
			engine := policy.New(policy.Config{
				Mode:  policy.ModeEnforce,
				Rules: []policy.Rule{{Name: "A", Signal: signal, Threshold: want.value / 2, Window: 10 * time.Second}},
				Ceiling: policy.Ceiling{
					Millicores: 500, Floor: 100, Hold: time.Minute, ReleaseAfter: time.Minute, Backoff: policy.Backoff{Factor: 2, Max: time.Hour},
				},
			}, policy.Options{})

			var last policy.Decision

			for second := range 61 {
				next := sample(float64(second) * 4)
				if last.Held {
					next.Applied = last.Hold.Since
				}

				last = engine.Step(next)
			}

			assert.InDelta(t, want.value, last.Rules[0].Value, want.value/1000)
			assert.Equal(t, want.text, signal.Format(last.Rules[0].Value))

			suspended := sample(61 * 4)
			suspended.Suspended = true

			require.Nil(t, engine.Step(suspended).Verdict, "nothing was measured without the ceiling yet")

			var verdict *policy.Verdict

			for second := 62; verdict == nil; second++ {
				require.Less(t, second, 200)

				suspended := sample(float64(second) * 4)
				suspended.Suspended = true
				verdict = engine.Step(suspended).Verdict
			}

			assert.Equal(t, policy.OutcomeNoEffect, verdict.Outcome, "the counters go on as before: %s", verdict.Reason)
		})
	}
}

func TestSignals_CoverTable(t *testing.T) {
	for _, signal := range policy.Signals() {
		assert.NotEmpty(t, signal.About(), signal)
		assert.NotEmpty(t, signal.Unit().Name(), signal)
		assert.Positive(t, signal.Unit().Noise(), signal)
		assert.Contains(t, policy.Units(), signal.Unit())
	}
}

func TestEngine_UnknownSignalIsUnavailable(t *testing.T) {
	const signal policy.Signal = "disk"

	engine := policy.New(policy.Config{
		Rules:   []policy.Rule{{Name: "A", Signal: signal, Window: time.Second}},
		Ceiling: policy.Ceiling{Backoff: policy.Backoff{Factor: 2, Max: time.Hour}},
	}, policy.Options{})

	status := engine.Step(policy.Sample{At: time.Second}).Rules[0]
	assert.Equal(t, policy.StateUnavailable, status.State)
	assert.Equal(t, "the signal is unknown", status.Unavailable)

	assert.Empty(t, signal.Unit())
	assert.Zero(t, signal.Unit().Noise())
	assert.Equal(t, "true", signal.Format(1))
}

func TestUnit_Format(t *testing.T) {
	for _, test := range []struct {
		unit  policy.Unit
		value float64
		want  string
	}{
		{policy.Cores, 1.8031, "1803m"},
		{policy.BytesPerSecond, 1.4e6, "1.4 MB/s"},
		{policy.BytesPerSecond, -1, "0 B/s"},
		{policy.Ratio, 0.37, "37 %"},
		{"", 0, "false"},
	} {
		t.Run(test.want, func(t *testing.T) { assert.Equal(t, test.want, test.unit.Format(test.value)) })
	}
}
