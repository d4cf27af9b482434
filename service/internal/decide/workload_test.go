// SPDX-License-Identifier: MPL-2.0

package decide_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/service/internal/decide"
)

// runaway decides on a workload that uses a number of cores, sample by sample.
type runaway struct {
	*decide.Workload

	t    *testing.T
	cfg  config.Config
	at   time.Duration
	used float64
}

func newRunaway(t *testing.T, document string) *runaway {
	t.Helper()

	cfg, err := config.Parse([]byte(document))
	require.NoError(t, err)

	return &runaway{t: t, cfg: cfg, Workload: decide.NewWorkload(policy.New(cfg.Policy(), policy.Options{}), 0)}
}

const document = `
interval: 1s
rules: [{name: R, signal: cpu, threshold: 400m, for: 10s, window: 2s}]
ceiling: {cpu: 500m, hold: 20s, releaseAfter: 5s, probe: 2s}
`

// use lets seconds pass in which the workload uses a number of cores under an override of its own. Throttled: the quota
// holds it back in every period.
func (r *runaway) use(seconds int, cores float64, throttled bool, override decide.Override) {
	for range seconds {
		r.at += time.Second
		r.used += cores

		sample := policy.Sample{At: r.at, CPU: policy.Counter{Total: r.used}}

		if d := r.Decision(); d.Held && d.Hold.Enforced() {
			sample.Applied = d.Hold.Since
		}

		if throttled {
			sample.Periods, sample.Throttled = uint64(r.at/time.Second)*10, uint64(r.at/time.Second)*10
			sample.ThrottledTime = r.at.Seconds()
		}

		overrides := decide.Overrides{Target: override}
		overrides.Mark(&sample)
		r.Update("c1", &overrides)

		if assert.True(r.t, r.Due(sample.At)) {
			r.Step(sample)
		}

		assert.False(r.t, r.Due(sample.At))
	}
}

func (r *runaway) desired() *decide.DesiredCeiling {
	desired := r.Desired(&decide.Settings{FloorMillicores: 100, Wall: wall})

	return &desired
}

func TestWorkload_TripsAndReleasesWhenQuiet(t *testing.T) {
	r := newRunaway(t, document)

	r.use(5, 1.8, false, decide.Override{})
	assert.True(t, r.desired().None())
	assert.Equal(t, "no rule asks for a ceiling", r.desired().Reason)
	assert.Empty(t, r.Reason(), "no ceiling has been released yet")

	r.use(10, 1.8, false, decide.Override{})

	got := r.desired()
	assert.Equal(t, int64(500), got.Millicores)
	assert.Equal(t, "cpu 1800m above 400m for 10s", got.Reason)
	assert.Equal(t, got.Reason, r.Reason())
	assert.Equal(t, []string{
		"the hold of R lasts until 2026-11-25T12:00:32Z", "R is firing: 1800m, quiet at 280m",
	}, got.Blockers)

	r.use(22, 0.1, false, decide.Override{})
	assert.Equal(t, "every enforced rule was quiet for ceiling.releaseAfter", r.desired().Reason)
	assert.True(t, r.desired().None())

	verdict, at := r.Verdict()
	assert.NotNil(t, verdict)
	assert.LessOrEqual(t, at, r.at)
}

func TestWorkload_ProbesWhileThrottled(t *testing.T) {
	r := newRunaway(t, document)
	r.use(15, 1.8, false, decide.Override{})
	r.use(17, 0.5, true, decide.Override{})
	require.True(t, r.desired().Probing, "%+v", r.desired())

	t.Run("the breach continues", func(t *testing.T) {
		r.use(2, 1.8, false, decide.Override{})
		assert.False(t, r.desired().Probing)
		assert.Equal(t, "the probe measured the breach of R again: cpu 1800m, above 400m", r.desired().Reason)
	})

	t.Run("no breach", func(t *testing.T) {
		r := newRunaway(t, document)
		r.use(15, 1.8, false, decide.Override{})
		r.use(17, 0.5, true, decide.Override{})
		r.use(4, 0.1, false, decide.Override{})
		assert.Equal(t, "the probe measured no breach", r.desired().Reason)
		assert.True(t, r.desired().None())
	})
}

func TestWorkload_FollowsOverrides(t *testing.T) {
	release := decide.Override{Kind: decide.Release, Until: time.Hour, Text: "released by anna"}
	throttle := decide.Override{Kind: decide.Throttle, Millicores: 200, Until: time.Hour, Text: "throttled by anna"}

	r := newRunaway(t, document)
	r.use(15, 1.8, false, decide.Override{})

	// At once, before the next sample.
	r.Update("c1", &decide.Overrides{Target: release})
	assert.True(t, r.desired().None())
	assert.Equal(t, "released by anna", r.desired().Reason)

	r.use(1, 1.8, false, release)
	assert.False(t, r.Decision().Held, "a release ends the hold")
	assert.Equal(t, "released by anna", r.Reason(), "the rules did not become quiet")

	r.Update("c1", &decide.Overrides{Target: throttle})

	got := r.desired()
	assert.Equal(t, int64(200), got.Millicores)
	assert.Equal(t, []string{"throttled by anna"}, got.Blockers)
	assert.Equal(t, time.Hour-16*time.Second, got.ReleasesIn)

	// A pause of the node and its end leave the target's own in force.
	r.Update("c1", &decide.Overrides{Node: decide.Override{Kind: decide.Pause, Text: "paused by otto"}, Target: throttle})
	assert.Equal(t, "paused by otto", r.desired().Reason)
	r.Update("c1", &decide.Overrides{Target: throttle})
	assert.Equal(t, int64(200), r.desired().Millicores)

	for _, last := range []decide.Override{throttle, release} {
		t.Run("the end of a "+string(last.Kind), func(t *testing.T) {
			r.use(1, 0.1, false, last)
			r.Update("c1", &decide.Overrides{})
			assert.True(t, r.desired().None())
			assert.Equal(t, "the override ended", r.desired().Reason)
		})
	}
}

func TestWorkload_ContinuesFromSavedState(t *testing.T) {
	r := newRunaway(t, document)
	r.use(15, 1.8, false, decide.Override{})

	hold := r.Decision().Hold
	assert.False(t, r.Yield(hold.Since+1), "of another hold")
	assert.True(t, r.Yield(hold.Since))
	assert.False(t, r.Yield(hold.Since), "known already")

	next := &runaway{
		t: t, at: r.at, used: r.used,
		Workload: decide.NewWorkload(policy.New(r.cfg.Policy(), policy.Options{Saved: r.SavedState()}), r.YieldedSince()),
	}
	next.use(1, 0.1, false, decide.Override{})

	got := next.desired()
	assert.Equal(t, hold.Since, got.Since)
	assert.Equal(t, hold.Since, got.YieldedSince)
	assert.Contains(t, got.Blockers[0], "the hold of R lasts until")
}

func TestWorkload_RestartsCountersWithTheContainer(t *testing.T) {
	r := newRunaway(t, document)
	r.use(5, 1.8, false, decide.Override{})

	// The new container's counter begins at zero: nothing is known of it yet.
	r.Update("c2", &decide.Overrides{})
	assert.False(t, r.Step(policy.Sample{At: r.at + time.Second}), "one reading of a counter changes nothing")
	assert.Equal(t, r.Before()[0].State, r.Decision().Rules[0].State)

	r.Replace(policy.New(r.cfg.Policy(), policy.Options{}))
	assert.True(t, r.Due(r.at), "after a change of the configuration every sample counts")
}

// TestWorkload_OverrideKeepsTheBackOffWithNothingInForce: the next hold is as long as without the instructions.
func TestWorkload_OverrideKeepsTheBackOffWithNothingInForce(t *testing.T) {
	none, release, pause := decide.Override{}, decide.Override{Kind: decide.Release}, decide.Override{Kind: decide.Pause}

	for name, overrides := range map[string][]decide.Override{
		"none":                   {none, none, none},
		"release":                {release, none, none},
		"release twice":          {release, none, release},
		"release in a row":       {release, release, none},
		"pause and resume":       {pause, none, none},
		"pause, then a release":  {pause, release, none},
		"throttle":               {{Kind: decide.Throttle, Millicores: 200}, none, none},
		"release until the trip": {none, none, release},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRunaway(t, document)

			for range 2 {
				r.use(15, 1.8, false, none)
				require.False(t, r.desired().None())
				r.use(60, 0.05, false, none)
				require.True(t, r.desired().None())
			}

			before := r.SavedState()
			require.Equal(t, 2, before.Level)

			for _, override := range overrides {
				r.use(3, 0.05, false, override)
				assert.Equal(t, before, r.SavedState())
			}

			r.use(15, 1.8, false, none)

			hold := r.Decision().Hold
			assert.Equal(t, 80*time.Second, hold.Until-hold.Since, "the third hold")
		})
	}
}

// TestWorkload_OverrideKeepsTheBackOffOfAnObservedHold: a hold in mode observe has no ceiling in force.
func TestWorkload_OverrideKeepsTheBackOffOfAnObservedHold(t *testing.T) {
	r := newRunaway(t, "mode: observe"+document)
	saved := policy.SavedState{Level: 2, Released: time.Second}
	r.Replace(policy.New(r.cfg.Policy(), policy.Options{Saved: saved}))

	r.use(15, 1.8, false, decide.Override{})
	require.True(t, r.Decision().Held)

	r.use(3, 1.8, false, decide.Override{Kind: decide.Release})
	require.False(t, r.Decision().Held)
	assert.Equal(t, saved, r.SavedState())
}
