// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/decide"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
	"github.com/spegel-guard/spegel-guard/service/internal/observe"
	"github.com/spegel-guard/spegel-guard/service/internal/persist"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

const quickRules = `
interval: 1s
rules: [{name: R, signal: cpu, threshold: 400m, for: 10s, window: 2s}]
ceiling: {cpu: 500m, hold: 20s, releaseAfter: 5s, probe: 2s}
`

// deciding is a PolicyController in a runtime, with samples of the test's making.
type deciding struct {
	*suite

	c     *PolicyController
	stats resources.TargetStatsSpec
	woken chan struct{}
}

func newDeciding(t *testing.T, document string, change func(*PolicyController)) *deciding {
	t.Helper()

	d := &deciding{woken: make(chan struct{}, 1000)}
	d.c = &PolicyController{
		Feed: observe.NewFeed(), History: &record.History{}, Urgent: func() { d.woken <- struct{}{} },
		State: persist.File[persist.Workload]{Path: filepath.Join(t.TempDir(), "state.json"), BootID: "boot"},
	}

	if change != nil {
		change(d.c)
	}

	d.suite = newSuite(t, newState(t), d.c)
	d.configure(document)
	d.stats = resources.TargetStatsSpec{ContainerID: "c1", Clock: boottime.Now()}

	return d
}

// use lets seconds pass in which the target uses a number of cores. Samples in quick succession may be decided on at once.
func (d *deciding) use(seconds int, cores float64) {
	for range seconds {
		d.stats.Clock += time.Second
		d.stats.Counters.UsageUsec += uint64(cores * 1e6)
		d.stats.CPU = resources.Measured(cores)
		d.c.Feed.Put(targetID, &d.stats, observe.Answer{})
		d.c.Feed.Wake()
	}
}

func (d *deciding) desired(match func(resources.DesiredCeilingSpec) bool) resources.DesiredCeilingSpec {
	d.t.Helper()

	return await(d.suite, resources.NewDesiredCeiling(targetID), match)
}

func (d *deciding) override(id, kind string, millicores int64) *resources.Override {
	override := resources.NewOverride(id)

	put(d.suite, override, func(spec *resources.OverrideSpec) {
		*spec = resources.OverrideSpec{
			Kind: kind, CeilingMillicores: millicores, SinceClock: boottime.Now(), UntilClock: boottime.Now() + time.Hour,
			By: resources.Person{Subject: "CN=anna"},
		}
		resources.SetTimes(spec, boottime.Wall)
	})

	return override
}

func TestPolicyController_FollowsOverridesAtOnce(t *testing.T) {
	d := newDeciding(t, quickRules, nil)
	d.use(1, 0.1)

	none := d.desired(resourcesNone)
	assert.Equal(t, "no rule asks for a ceiling", none.Reason)
	assert.True(t, none.Since.IsZero())

	// No sample comes from here on.
	throttle := d.override(targetID, resources.OverrideThrottle, 200)
	got := d.desired(func(s resources.DesiredCeilingSpec) bool { return s.CeilingMillicores == 200 })
	assert.Equal(t, decide.RuleOverride, got.Rule)
	assert.Contains(t, got.Reason, "throttled by CN=anna until")
	assert.Equal(t, int64(100), got.FloorMillicores)
	assert.NotEmpty(t, d.woken, "the enforcer is woken")

	pause := d.override(resources.OverridePauseID, resources.OverridePause, 0)
	assert.Contains(t, d.desired(resourcesNone).Reason, "paused by CN=anna until")
	await(d.suite, resources.NewGuardStatus(resources.GuardStatusID), func(s resources.GuardStatusSpec) bool { return s.State == resources.StatePaused })

	d.remove(pause)
	d.desired(func(s resources.DesiredCeilingSpec) bool { return s.CeilingMillicores == 200 })
	d.remove(throttle)
	assert.Equal(t, "the override ended", d.desired(resourcesNone).Reason)
}

func resourcesNone(s resources.DesiredCeilingSpec) bool { return s.None() }

func TestPolicyController_ContinuesASavedHold(t *testing.T) {
	since := boottime.Now()
	hold := policy.Hold{Rule: "R", Since: since, Until: since + time.Hour, Millicores: 500}

	d := newDeciding(t, quickRules, func(c *PolicyController) {
		c.Loaded = map[string]persist.Workload{targetID: {SavedState: policy.SavedState{Hold: hold, Level: 1}, Yielded: since}, "a/b/c": {SavedState: policy.SavedState{Level: 2}}}
	})
	d.use(1, 0.1)

	got := d.desired(func(s resources.DesiredCeilingSpec) bool { return s.CeilingMillicores == 500 })
	assert.Equal(t, since, got.SinceClock)
	assert.Equal(t, since, got.YieldedClock)
	assert.Contains(t, got.Blockers[0], "the hold of R lasts until")

	require.Eventually(t, func() bool {
		saved, err := d.c.State.Load()

		return err == nil && saved[targetID].Hold.Since == since && saved["a/b/c"].Level == 2
	}, patience, time.Millisecond, "what has not been seen yet is kept, too")
}

func TestPolicyController_NotesAYield(t *testing.T) {
	since := boottime.Now()
	hold := policy.Hold{Rule: "R", Since: since, Until: since + time.Hour, Millicores: 500}

	d := newDeciding(t, strings.Replace(quickRules, "probe: 2s", "probe: 2s, conflict: yield", 1), func(c *PolicyController) {
		c.Loaded = map[string]persist.Workload{targetID: {SavedState: policy.SavedState{Hold: hold, Level: 1}}}
	})
	d.use(1, 0.1)
	put(d.suite, resources.NewCeilingStatus(targetID), func(s *resources.CeilingStatusSpec) {
		s.State, s.SinceClock, s.OwnerLimit = resources.CeilingYielded, since, "80000 100000"
	})

	assert.Equal(t, "yield", d.desired(func(s resources.DesiredCeilingSpec) bool { return s.YieldedClock == since }).Conflict)
	assert.Contains(t, await(d.suite, resources.NewGuardStatus(resources.GuardStatusID), func(s resources.GuardStatusSpec) bool {
		return s.Message != ""
	}).Message, `an external change set cpu.max to "80000 100000"`)
}

func TestPolicyController_NoticesThatAnOverrideExpires(t *testing.T) {
	var passed atomic.Int64

	d := newDeciding(t, quickRules, func(c *PolicyController) {
		c.clock = func() time.Duration { return boottime.Now() + time.Duration(passed.Load()) }
	})
	d.use(1, 0.1)
	d.override(targetID, resources.OverrideThrottle, 200)
	d.desired(func(s resources.DesiredCeilingSpec) bool { return s.CeilingMillicores == 200 })

	// The resource is still there.
	passed.Store(int64(2 * time.Hour))
	d.use(1, 0.1)
	assert.Equal(t, "the override ended", d.desired(resourcesNone).Reason)
}

func TestPolicyController_AppliesAnotherConfiguration(t *testing.T) {
	since := boottime.Now()

	d := newDeciding(t, quickRules, func(c *PolicyController) {
		hold := policy.Hold{Rule: "R", Since: since, Until: since + time.Hour, Millicores: 500}
		c.Loaded = map[string]persist.Workload{targetID: {SavedState: policy.SavedState{Hold: hold, Level: 1}}}
	})
	d.use(1, 0.1)
	d.desired(func(s resources.DesiredCeilingSpec) bool { return s.CeilingMillicores == 500 && s.Mode == "enforce" })

	// The hold goes on under another ceiling and other rules.
	d.configure(`
rules: [{name: E, expression: cpu > 0.4, for: 10s, window: 10s}]
ceiling: {cpu: 300m, floor: 200m, conflict: yield}
`)

	got := d.desired(func(s resources.DesiredCeilingSpec) bool { return s.CeilingMillicores == 300 })
	assert.Equal(t, []any{since, int64(200), "yield"}, []any{got.SinceClock, got.FloorMillicores, got.Conflict})
	await(d.suite, resources.NewRuleStatus(targetID+"/E"), func(s resources.RuleStatusSpec) bool { return s.Signal == "expression" })
	d.gone(resources.NewRuleStatus(targetID + "/R"))

	d.configure("mode: observe\n" + quickRules)
	d.desired(func(s resources.DesiredCeilingSpec) bool { return s.Mode == "observe" && s.CeilingMillicores == 500 })
}

func TestPolicyController_WithdrawsWithTheTarget(t *testing.T) {
	d := newDeciding(t, quickRules, nil)
	d.use(1, 0.1)
	d.desired(resourcesNone)
	await(d.suite, resources.NewGuardStatus(resources.GuardStatusID), func(s resources.GuardStatusSpec) bool { return s.State == resources.StateOK })

	// What keeps the guard from working precedes its targets.
	put(d.suite, resources.NewCondition(resources.ConditionEnforcement), func(c *resources.ConditionSpec) { c.Set(resources.ReasonNotPermitted, "read-only", time.Second) })
	await(d.suite, resources.NewGuardStatus(resources.GuardStatusID), func(s resources.GuardStatusSpec) bool {
		return s.State == resources.StateNoPermission && s.Message == "read-only"
	})
	d.remove(resources.NewCondition(resources.ConditionEnforcement))

	// Another configuration has other rules.
	d.configure(`rules: [{name: Other, signal: cpu, threshold: 400m, for: 10s, window: 10s}]`)
	d.gone(resources.NewRuleStatus(targetID + "/R"))

	d.c.Feed.Remove(targetID)
	d.gone(resources.NewDesiredCeiling(targetID))
	await(d.suite, resources.NewGuardStatus(resources.GuardStatusID), func(s resources.GuardStatusSpec) bool { return s.State == resources.StateNoTarget })
}

func TestPolicyController_RecordsATrace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trace.jsonl")
	d := newDeciding(t, quickRules+"trace: {path: "+path+"}\n", nil)
	d.use(2, 0.1)

	require.Eventually(t, func() bool {
		data, err := os.ReadFile(path)

		return err == nil && strings.Contains(string(data), `{"sample":`)
	}, patience, time.Millisecond)
}

func TestPolicyController_TripsAndReleases(t *testing.T) {
	ticks := newTicking(t)
	id := "spegel/a/registry"

	core, logs := observer.New(zapcore.InfoLevel)
	ticks.logger = zap.New(core)

	use := func(seconds int, cores float64) resources.DesiredCeilingSpec {
		for range seconds {
			ticks.tick(t, map[string]float64{id: cores})
		}

		desired, err := safe.StateGetByID[*resources.DesiredCeiling](t.Context(), ticks.state, id)
		require.NoError(t, err)

		return *desired.TypedSpec()
	}

	assert.Zero(t, use(60, 0.2).CeilingMillicores)

	tripped := use(700, 1.8)
	assert.Equal(t, int64(500), tripped.CeilingMillicores)
	assert.Contains(t, []string{"SpegelHighCPU", "SpegelHighNetworkTX", "SpegelCPUCredit"}, tripped.Rule)
	assert.Contains(t, tripped.Reason, "above 550m")
	assert.NotEmpty(t, tripped.Blockers)

	released := use(1300, 0.05)
	assert.True(t, released.None())
	assert.Equal(t, "every enforced rule was quiet for ceiling.releaseAfter", released.Reason)

	verdict, err := safe.StateGetByID[*resources.Verdict](t.Context(), ticks.state, id)
	require.NoError(t, err)
	assert.NotEmpty(t, verdict.TypedSpec().Outcome)

	for message, reason := range map[string]string{"ceiling requested": tripped.Reason, "ceiling no longer requested": released.Reason} {
		entries := logs.FilterMessage(message).All()
		if assert.Len(t, entries, 1, message) {
			fields := entries[0].ContextMap()
			assert.Equal(t, []any{reason, "enforce", id}, []any{fields["reason"], fields["mode"], fields["target"]})
		}
	}
}

// TestPolicyController_KeepsTheTimeOfAVerdict when it is published again for the next container.
func TestPolicyController_KeepsTheTimeOfAVerdict(t *testing.T) {
	ticks := newTickingWith(t, quickRules)
	verdict := func() (*resources.Verdict, error) {
		return safe.StateGetByID[*resources.Verdict](t.Context(), ticks.state, targetID)
	}

	var decided time.Duration

	for step := 0; decided == 0 && step < 100; step++ {
		cores := 0.05
		if step < 15 {
			cores = 1.8
		}

		ticks.tick(t, map[string]float64{targetID: cores})

		if _, err := verdict(); err == nil {
			decided = ticks.now
		}
	}

	first, err := verdict()
	require.NoError(t, err)
	assert.Equal(t, decided, first.TypedSpec().Clock, "the time of the sample")

	ticks.c.Feed.Remove(targetID)
	ticks.tick(t, nil)
	_, err = verdict()
	require.Error(t, err)

	ticks.tick(t, map[string]float64{targetID: 0.05})

	again, err := verdict()
	require.NoError(t, err)
	assert.Equal(t, decided, again.TypedSpec().Clock)
}

// TestPolicyController_RenewsLeases with the time of the sample: a decision on an old sample is no newer than it.
func TestPolicyController_RenewsLeases(t *testing.T) {
	leases := &enforce.Leases{}
	d := newDeciding(t, quickRules, func(c *PolicyController) { c.Leases = leases })

	d.use(3, 0.2)

	assert.Eventually(t, func() bool {
		return !leases.Expired(targetID, d.stats.Clock+minLease, minLease) && leases.Expired(targetID, d.stats.Clock+minLease+1, minLease)
	}, patience, time.Millisecond)
}
