// SPDX-License-Identifier: MPL-2.0

package trace_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/trace"
	"github.com/spegel-guard/spegel-guard/test/plant"
)

// outcome of a replay.
type outcome struct {
	// alerts are the rules in mode observe that fired; they led to no ceiling.
	alerts []string
	// events of ceilings.
	events   []policy.Event
	at       []time.Duration
	rules    []string
	holds    []time.Duration
	verdicts []policy.Verdict
	last     trace.Step
}

// replay runs a shipped trace; without a document under the configuration it was recorded with.
func replay(t *testing.T, name, document string) outcome {
	t.Helper()

	data, err := os.ReadFile(filepath.Join("testdata", name+".jsonl"))
	require.NoError(t, err)

	var (
		o    outcome
		with *config.Config
	)

	if document != "" {
		cfg, err := config.Parse([]byte(document))
		require.NoError(t, err)

		with = &cfg
	}

	require.NoError(t, trace.Replay(bytes.NewReader(data), with, func(s trace.Step) {
		o.last = s

		switch {
		case s.Decision.Event == policy.EventTrip && s.Decision.Hold.Observe:
			o.alerts = append(o.alerts, s.Decision.Hold.Rule)
		case s.Decision.Event != "":
			o.events = append(o.events, s.Decision.Event)
			o.at = append(o.at, s.Elapsed)
			o.rules = append(o.rules, s.Decision.Hold.Rule)
			o.holds = append(o.holds, s.Decision.Hold.Until-s.Decision.Hold.Since)
		}

		if s.Decision.Verdict != nil {
			o.verdicts = append(o.verdicts, *s.Decision.Verdict)
		}
	}))

	return o
}

const (
	plainFor = "interval: 10s\nrules: [{name: Plain, signal: cpu, threshold: 400m, for: 10m, window: 1m}]\n"
	creditor = "interval: 10s\nrules: [{name: Credit, signal: cpu, credit: {earn: 400m, capacity: 10m}}]\n"
)

func TestReplay_IdleAndAffectedDoNotTrip(t *testing.T) {
	// The affected peers use a third of a core. A ceiling on them would not help.
	for _, name := range []string{"idle", "affected"} {
		o := replay(t, name, "")
		assert.Empty(t, o.events, name)
		assert.Empty(t, o.alerts, name)
	}
}

func TestReplay_IncidentTrips(t *testing.T) {
	o := replay(t, "incident", plainFor)
	require.NotEmpty(t, o.events)
	assert.Equal(t, policy.EventTrip, o.events[0])
	assert.GreaterOrEqual(t, o.at[0], 20*time.Minute)
	assert.Less(t, o.at[0], 21*time.Minute)

	// As recorded, the alert on allocation comes first, then the credit: 600 core-seconds at 1.25 a second beyond what is
	// earned.
	o = replay(t, "incident", "")
	assert.Equal(t, []string{"SpegelHighMemoryAllocation"}, o.alerts)
	assert.Equal(t, []policy.Event{policy.EventTrip, policy.EventProbe, policy.EventRetrip, policy.EventProbe, policy.EventRetrip}, o.events)
	assert.Equal(t, "SpegelCPUCredit", o.rules[0])
	assert.Greater(t, o.at[0], 10*time.Minute+5*time.Minute)
	assert.Less(t, o.at[0], 20*time.Minute)

	require.Len(t, o.verdicts, 2)
	assert.Equal(t, policy.OutcomeContained, o.verdicts[0].Outcome, "the ceiling slowed the load, it did not end it")
	assert.InDelta(t, 0.5, o.verdicts[0].During.Cores(), 0.02)
}

func TestReplay_CulpritTripsOnAllocationFirst(t *testing.T) {
	o := replay(t, "culprit", `
interval: 10s
rules:
  - {name: CPU, signal: cpu, threshold: 400m, for: 10m}
  - {name: Allocation, signal: allocation, threshold: 1G/min, for: 5m}
`)
	require.NotEmpty(t, o.events)
	assert.Equal(t, "Allocation", o.rules[0])
	assert.Less(t, o.at[0], 16*time.Minute+30*time.Second)
}

// TestReplay_BurstsUseUpCredit: 5 minutes in 9 at 1.6 cores. Plain `for: 10m` never sees it, the credit does in the second burst.
func TestReplay_BurstsUseUpCredit(t *testing.T) {
	assert.Empty(t, replay(t, "bursts", plainFor).events)

	o := replay(t, "bursts", creditor)
	require.NotEmpty(t, o.events)
	assert.Equal(t, policy.EventTrip, o.events[0])
	assert.Greater(t, o.at[0], 9*time.Minute)
	assert.Less(t, o.at[0], 14*time.Minute)

	// Ten minutes within 12.5 are never above; within 14.3, with 30 % of dips, they are in the second burst.
	assert.Empty(t, replay(t, "bursts", "interval: 10s\nrules: [{name: Dip, signal: cpu, threshold: 400m, for: 10m, dip: 20%}]").events)
	assert.NotEmpty(t, replay(t, "bursts", "interval: 10s\nrules: [{name: Dip, signal: cpu, threshold: 400m, for: 10m, dip: 30%}]").events)
}

// TestReplay_PullStormDoesNotTrip: three minutes of pulling images is what spegel is for. For every seed, because the bucket's start differs.
func TestReplay_PullStormDoesNotTrip(t *testing.T) {
	assert.Empty(t, replay(t, "pull-storm", "").events)

	file, err := os.ReadFile("testdata/pull-storm.jsonl")
	require.NoError(t, err)
	require.Contains(t, string(file), `"seed":2`)

	for seed := range 50 {
		reseeded := bytes.Replace(file, []byte(`"seed":2`), fmt.Appendf(nil, `"seed":%d`, 100+seed), 1)

		require.NoError(t, trace.Replay(bytes.NewReader(reseeded), nil, func(s trace.Step) {
			require.Empty(t, s.Decision.Event)
		}))
	}
}

// TestReplay_FlappingIsBounded: six hours of a load that comes back as soon as it may.
func TestReplay_FlappingIsBounded(t *testing.T) {
	o := replay(t, "flapping", "")

	bound := plant.MaxTrips(config.Default().Policy().Ceiling)
	longest := config.Default().Ceiling.Backoff.Max.Duration

	var trips []time.Duration

	for i, event := range o.events {
		if event == policy.EventTrip || event == policy.EventRetrip {
			trips = append(trips, o.at[i])
		}
	}

	require.GreaterOrEqual(t, len(trips), 3, "the load does flap")

	for i := range trips {
		inside := 0

		for _, other := range trips[:i+1] {
			if trips[i]-other < longest {
				inside++
			}
		}

		assert.LessOrEqual(t, inside, bound)
	}

	// Eight trips in six hours would be one for each hold of the least length and its `for`, with room.
	assert.LessOrEqual(t, len(o.events), 2*8)
	t.Logf("%d events in 6 h: %v at %v", len(o.events), o.events, o.at)
}

// TestReplay_ThrottledIsNotReleased: under 250m usage is below every threshold, which is no reason to release.
func TestReplay_ThrottledIsNotReleased(t *testing.T) {
	o := replay(t, "throttled", "")
	require.NotEmpty(t, o.events)

	released := time.Duration(0)

	for i, event := range o.events {
		assert.NotEqual(t, policy.EventRelease, event)

		if event == policy.EventProbe {
			released = o.at[i] - o.at[i-1]
			assert.GreaterOrEqual(t, released, 10*time.Minute, "not before the hold")
		}
	}

	assert.NotZero(t, released, "it is probed")

	last := o.last.Decision
	assert.True(t, last.Held)
	assert.True(t, last.Throttled)
}

// TestReplay_IsDeterministic: the recorded configuration gives the recorded decisions, every time.
func TestReplay_IsDeterministic(t *testing.T) {
	a, b := replay(t, "flapping", ""), replay(t, "flapping", "")
	assert.Equal(t, a.events, b.events)
	assert.Equal(t, a.at, b.at)

	// The trace was recorded under its own ceilings: throttling begins with the first trip.
	data, err := os.ReadFile("testdata/flapping.jsonl")
	require.NoError(t, err)

	throttled := false

	require.NoError(t, trace.Replay(bytes.NewReader(data), nil, func(s trace.Step) {
		if s.Sample.Throttled == 0 {
			return
		}

		throttled = true

		require.GreaterOrEqual(t, s.Elapsed, a.at[0])
	}))
	assert.True(t, throttled)
}

// TestReplay_BoundsWorkloads: a trace comes from a file, and each workload takes memory.
func TestReplay_BoundsWorkloads(t *testing.T) {
	document, err := config.Marshal(config.Default())
	require.NoError(t, err)

	var file bytes.Buffer

	write := func(line trace.Line) {
		data, err := trace.Encode(line)
		require.NoError(t, err)
		file.Write(data)
	}

	write(trace.Line{Header: &trace.Header{Version: trace.Version, Config: string(document)}})

	for i := range 4097 {
		write(trace.Line{Sample: &trace.Sample{Workload: fmt.Sprintf("a/b%d/c", i)}})
	}

	steps := 0

	require.ErrorIs(t, trace.Replay(&file, nil, func(trace.Step) { steps++ }), trace.ErrTooManyWorkloads)
	assert.Equal(t, 4096, steps)
}
