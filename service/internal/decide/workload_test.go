// SPDX-License-Identifier: MPL-2.0

package decide

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// wall is a clock that was at noon when the machine started.
func wall(at time.Duration) time.Time { return time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC).Add(at) }

// runaway decides on a workload that uses a number of cores, sample by sample.
type runaway struct {
	*Workload

	t    *testing.T
	cfg  config.Config
	at   time.Duration
	used float64
}

func newRunaway(t *testing.T, document string) *runaway {
	t.Helper()

	cfg, err := config.Parse([]byte(document))
	require.NoError(t, err)

	return &runaway{t: t, cfg: cfg, Workload: NewWorkload(policy.New(cfg, policy.Options{}), 0)}
}

const document = `
interval: 1s
rules: [{name: R, signal: cpu, threshold: 400m, for: 10s, window: 2s}]
ceiling: {cpu: 500m, hold: 20s, releaseAfter: 5s, probe: 2s}
`

// use decides on so many seconds of a use in cores under an override; throttled says that the quota holds it back.
func (r *runaway) use(seconds int, cores float64, throttled bool, override Override) {
	for range seconds {
		r.at += time.Second
		r.used += cores

		sample := policy.Sample{At: r.at, CPU: policy.Counter{Total: r.used}}

		if throttled {
			sample.Periods, sample.Throttled = uint64(r.at/time.Second)*10, uint64(r.at/time.Second)*10
			sample.ThrottledTime = r.at.Seconds()
		}

		override.Mark(&sample)
		r.Observe("c1", override)

		if assert.True(r.t, r.Due(sample.At)) {
			r.Step(sample)
		}

		assert.False(r.t, r.Due(sample.At))
	}
}

func (r *runaway) desired() DesiredCeiling {
	return r.Desired(Settings{FloorMillicores: 100, Wall: wall})
}

func TestWorkload_TripsAndReleasesWhenQuiet(t *testing.T) {
	r := newRunaway(t, document)

	r.use(5, 1.8, false, Override{})
	assert.True(t, r.desired().None())
	assert.Empty(t, r.desired().Reason, "no ceiling has been released yet")

	r.use(10, 1.8, false, Override{})

	got := r.desired()
	assert.Equal(t, int64(500), got.Millicores)
	assert.Equal(t, "cpu 1800m above 400m for 10s", got.Reason)
	assert.Equal(t, []string{
		"the hold of R lasts until 2026-11-25T12:00:32Z", "R is firing: 1800m, quiet at 280m",
	}, got.Blockers)

	r.use(22, 0.1, false, Override{})
	assert.Equal(t, "every rule was quiet for ceiling.releaseAfter", r.desired().Reason)
	assert.True(t, r.desired().None())
	assert.NotNil(t, r.Verdict())
}

func TestWorkload_ProbesWhileThrottled(t *testing.T) {
	r := newRunaway(t, document)
	r.use(15, 1.8, false, Override{})
	r.use(17, 0.5, true, Override{})
	require.True(t, r.desired().Probing, "%+v", r.desired())

	t.Run("the breach continues", func(t *testing.T) {
		r.use(2, 1.8, false, Override{})
		assert.False(t, r.desired().Probing)
		assert.Equal(t, "the probe measured the breach again (400m)", r.desired().Reason)
	})

	t.Run("no breach", func(t *testing.T) {
		r := newRunaway(t, document)
		r.use(15, 1.8, false, Override{})
		r.use(17, 0.5, true, Override{})
		r.use(4, 0.1, false, Override{})
		assert.Equal(t, "the probe measured no breach", r.desired().Reason)
		assert.True(t, r.desired().None())
	})
}

func TestWorkload_FollowsOverrides(t *testing.T) {
	release := Override{Kind: Release, Until: time.Hour, Text: "released by anna"}
	throttle := Override{Kind: Throttle, Millicores: 200, Until: time.Hour, Text: "throttled by anna"}

	r := newRunaway(t, document)
	r.use(15, 1.8, false, Override{})

	// At once, before the next sample.
	r.Observe("c1", release)
	assert.True(t, r.desired().None())
	assert.Equal(t, "released by anna", r.desired().Reason)

	r.use(1, 1.8, false, release)
	assert.False(t, r.Decision().Held, "a release ends the hold")

	r.Observe("c1", throttle)

	got := r.desired()
	assert.Equal(t, int64(200), got.Millicores)
	assert.Equal(t, []string{"throttled by anna"}, got.Blockers)
	assert.Equal(t, time.Hour-16*time.Second, got.ReleasesIn)

	r.Observe("c1", Override{})
	assert.True(t, r.desired().None())
	assert.Equal(t, "the override ended", r.desired().Reason)
}

func TestWorkload_ContinuesFromSavedState(t *testing.T) {
	r := newRunaway(t, document)
	r.use(15, 1.8, false, Override{})

	hold := r.Decision().Hold
	assert.False(t, r.Yield(hold.Since+1), "of another hold")
	assert.True(t, r.Yield(hold.Since))
	assert.False(t, r.Yield(hold.Since), "known already")

	next := &runaway{
		t: t, at: r.at, used: r.used,
		Workload: NewWorkload(policy.New(r.cfg, policy.Options{Memory: r.Memory()}), r.YieldedSince()),
	}
	next.use(1, 0.1, false, Override{})

	got := next.desired()
	assert.Equal(t, hold.Since, got.Since)
	assert.Equal(t, hold.Since, got.YieldedSince)
	assert.Contains(t, got.Blockers[0], "the hold of R lasts until")
}

func TestWorkload_RestartsCountersWithTheContainer(t *testing.T) {
	r := newRunaway(t, document)
	r.use(5, 1.8, false, Override{})

	// The new container's counter begins at zero: nothing is known of it yet.
	r.Observe("c2", Override{})
	assert.False(t, r.Step(policy.Sample{At: r.at + time.Second}), "one reading of a counter changes nothing")
	assert.Equal(t, r.Before()[0].State, r.Decision().Rules[0].State)

	r.Replace(policy.New(r.cfg, policy.Options{}))
	assert.True(t, r.Due(r.at), "after a change of the configuration every sample counts")
}

func TestBlocker(t *testing.T) {
	rules := config.Default().Rules
	expression, err := config.Parse([]byte(`rules: [{name: E, expression: "cpu > 0.4", for: 1s}]`))
	require.NoError(t, err)

	for name, test := range map[string]struct {
		status policy.RuleStatus
		want   string
	}{
		"ok":          {policy.RuleStatus{Rule: &rules[0], State: policy.StateOK}, ""},
		"releasing":   {policy.RuleStatus{Rule: &rules[0], State: policy.StateReleasing}, ""},
		"unavailable": {policy.RuleStatus{Rule: &rules[1], State: policy.StateUnavailable, Unavailable: "why"}, "SpegelHighNetworkTX is unavailable: why"},
		"pending":     {policy.RuleStatus{Rule: &rules[2], State: policy.StatePending, Value: 1}, "SpegelCPUCredit is pending: 1000m is above 400m"},
		"firing":      {policy.RuleStatus{Rule: &rules[0], State: policy.StateFiring, Value: 1}, "SpegelHighCPU is firing: 1000m, quiet at 280m"},
		"expression":  {policy.RuleStatus{Rule: &expression.Rules[0], State: policy.StateFiring, Value: 1}, "E is firing: cpu > 0.4"},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.want, blocker(test.status)) })
	}
}

func TestTripReason(t *testing.T) {
	rules := config.Default().Rules
	expression, err := config.Parse([]byte(`rules: [{name: E, expression: "cpu > 0.4", for: 1s}]`))
	require.NoError(t, err)

	for name, test := range map[string]struct {
		event policy.Event
		rule  *config.Rule
		want  string
	}{
		"threshold":  {policy.EventTrip, &rules[0], "cpu 1000m above 400m for 10m0s"},
		"credit":     {policy.EventTrip, &rules[2], "cpu 1000m has used its credit of 10m above 400m"},
		"expression": {policy.EventTrip, &expression.Rules[0], "cpu > 0.4 for 1s"},
		"retrip":     {policy.EventRetrip, &expression.Rules[0], "the probe measured the breach again (cpu > 0.4)"},
	} {
		t.Run(name, func(t *testing.T) {
			d := policy.Decision{Event: test.event, Rules: []policy.RuleStatus{{Rule: test.rule, State: policy.StateFiring, Value: 1}}}
			assert.Equal(t, test.want, tripReason(d, test.rule.Name))
		})
	}

	assert.Equal(t, "adopted from an earlier process", tripReason(policy.Decision{}, "Gone"))
}

func TestWorkload_BlockersWhileThrottled(t *testing.T) {
	w := &Workload{decision: policy.Decision{Held: true, Hold: policy.Hold{Rule: "R", Millicores: 500}, Throttled: true, ThrottledRatio: 0.42}}
	assert.Equal(t, []string{"the workload is throttled in 42 % of the enforcement periods"}, w.Desired(Settings{Wall: wall}).Blockers)

	w.decision.Throttled, w.decision.ReleasesIn = false, time.Minute
	assert.Equal(t, []string{"every rule is quiet, for less than ceiling.releaseAfter so far"}, w.Desired(Settings{Wall: wall}).Blockers)
	assert.Equal(t, time.Minute, w.Desired(Settings{Wall: wall}).ReleasesIn)
}
