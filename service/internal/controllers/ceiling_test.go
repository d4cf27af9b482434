// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"
	"golang.org/x/sys/unix"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/decide"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce/enforcetest"
	"github.com/spegel-guard/spegel-guard/service/internal/host"
	"github.com/spegel-guard/spegel-guard/service/internal/observe"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

const (
	targetID   = "spegel/spegel-1/registry"
	cgroupPath = "kubepods/pod1/c1"
	atCeiling  = "50001 100000"
	enforceDoc = "interval: 100ms\nevidence: {limit: 0}\n"
)

// enforcing is a CeilingController over cgroups in memory.
type enforcing struct {
	*suite

	c        *CeilingController
	node     *enforcetest.Node
	cgroup   *enforcetest.Cgroup
	lock     *lock
	reaction prometheus.Histogram
}

// hostSource is a source on this host, on which no target is a pod.
func hostSource(target resources.TargetSpec) observe.Source {
	return observe.NewSource(host.Host{Proc: "/proc"}, target)
}

// newEnforcing starts it with a target and a document; change may alter the controller before.
func newEnforcing(t *testing.T, document, owner string, change func(*enforcing)) *enforcing {
	t.Helper()

	e := &enforcing{node: enforcetest.NewNode(), lock: &lock{}, reaction: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "r"})}
	e.cgroup = e.node.Create(cgroupPath, owner, 7)
	e.c = &CeilingController{
		Node: e.node.Enforce(), Source: hostSource, Feed: observe.NewFeed(), Lock: e.lock, Initial: config.Default(), Reaction: e.reaction,
	}

	e.c.Orphans = enforce.NewOrphans(e.c.Node, e.lock, zaptest.NewLogger(t))

	st := newState(t)
	e.c.Log = record.NewActions(st, zaptest.NewLogger(t))

	if change != nil {
		change(e)
	}

	go e.c.Orphans.Run(t.Context())

	e.suite = newSuite(t, st, e.c)
	e.configure(document)
	e.target("c1", 7)

	return e
}

// waitForEvidence lets actions wait for their evidence as long as tests wait for anything. It is called last before the start.
func (e *enforcing) waitForEvidence() {
	e.c.begin()
	e.c.enforcer.evidence.timeout = patience
}

func (e *enforcing) target(container string, inode uint64) {
	put(e.suite, resources.NewTarget(targetID), func(spec *resources.TargetSpec) {
		spec.ContainerID, spec.Cgroup, spec.CgroupInode, spec.PID = container, cgroupPath, inode, 1
	})
}

// desire publishes a desired ceiling that is due now.
func (e *enforcing) desire(millicores int64, rule, reason string) {
	now := boottime.Now()

	put(e.suite, resources.NewDesiredCeiling(targetID), func(spec *resources.DesiredCeilingSpec) {
		*spec = resources.DesiredCeilingSpec{
			Mode: string(config.ModeEnforce), CeilingMillicores: millicores, FloorMillicores: 100, Rule: rule, Reason: reason,
			SinceClock: now, HoldUntilClock: now + time.Hour,
		}
	})
}

func (e *enforcing) status(state string) resources.CeilingStatusSpec {
	return await(e.suite, resources.NewCeilingStatus(targetID), func(s resources.CeilingStatusSpec) bool { return s.State == state })
}

func (e *enforcing) condition(reason string) resources.ConditionSpec {
	return await(e.suite, resources.NewCondition(resources.ConditionEnforcement), func(s resources.ConditionSpec) bool { return s.Reason == reason })
}

func TestCeilingController_FollowsTheDesiredCeiling(t *testing.T) {
	e := newEnforcing(t, enforceDoc, enforcetest.Unlimited, nil)

	e.condition(resources.ReasonOK)
	e.desire(500, "SpegelHighCPU", "cpu 1803m")

	status := e.status(resources.CeilingApplied)
	assert.Equal(t, enforcetest.Unlimited, status.OwnerLimit)
	assert.Equal(t, atCeiling, status.ReadBack)
	assert.Equal(t, atCeiling, e.cgroup.CPUMax())

	e.desire(0, decide.RuleOverride, "released by CN=anna until 12:00")
	e.gone(resources.NewCeilingStatus(targetID))
	assert.Equal(t, enforcetest.Unlimited, e.cgroup.CPUMax())

	e.desire(300, decide.RuleOverride, "throttled by CN=anna until 12:00")
	e.status(resources.CeilingApplied)

	// An action is recorded after the status.
	require.Eventually(t, func() bool { return len(e.actions()) == 3 }, patience, time.Millisecond)
	e.end()

	actions := e.actions()
	require.Len(t, actions, 3)
	assert.Equal(t, resources.ActionApply, actions[0].Action)
	assert.Equal(t, "cpu 1803m", actions[0].Reason)
	assert.Equal(t, string(config.ModeEnforce), actions[0].Mode)
	assert.Positive(t, actions[0].Reaction)
	assert.Equal(t, resources.ActionRelease, actions[1].Action)
	assert.Equal(t, "released by CN=anna until 12:00", actions[1].Reason)
	assert.Zero(t, actions[2].Reaction, "an override has no reaction")
	assert.Equal(t, 1, testutil.CollectAndCount(e.reaction))
}

func TestCeilingController_WakesAtOnce(t *testing.T) {
	// No tick comes within the time that the test waits. A document has no such interval.
	e := newEnforcing(t, enforceDoc, enforcetest.Unlimited, func(e *enforcing) {
		cfg, err := config.Parse([]byte(enforceDoc))
		require.NoError(t, err)

		text, err := config.Marshal(cfg)
		require.NoError(t, err)

		cfg.Interval.Duration = time.Hour
		e.c.Active = &config.Active{}
		e.c.Active.Set(string(text), cfg)
	})
	e.desire(500, "R", "r")
	e.status(resources.CeilingApplied)

	e.cgroup.Write("80000 100000")
	e.c.Wake()
	e.status(resources.CeilingYielded)

	e.end()
	e.c.Wake() // nobody runs: nothing happens
}

func TestCeilingController_ReleasesWithItsTarget(t *testing.T) {
	t.Run("gone", func(t *testing.T) {
		e := newEnforcing(t, enforceDoc, enforcetest.Unlimited, nil)
		e.desire(500, "R", "r")
		e.status(resources.CeilingApplied)

		e.remove(resources.NewTarget(targetID))
		e.gone(resources.NewCeilingStatus(targetID))
		assert.Equal(t, enforcetest.Unlimited, e.cgroup.CPUMax())
	})

	t.Run("container replaced", func(t *testing.T) {
		e := newEnforcing(t, enforceDoc, enforcetest.Unlimited, nil)
		e.desire(500, "R", "r")
		e.status(resources.CeilingApplied)

		next := e.node.Create(cgroupPath, "200000 100000", 8)
		e.target("c2", 8)
		await(e.suite, resources.NewCeilingStatus(targetID), func(s resources.CeilingStatusSpec) bool { return s.ContainerID == "c2" })
		assert.Equal(t, enforcetest.Unlimited, e.cgroup.CPUMax())
		assert.Equal(t, atCeiling, next.CPUMax())
	})

	t.Run("cannot be released", func(t *testing.T) {
		e := newEnforcing(t, enforceDoc, enforcetest.Unlimited, nil)
		e.desire(500, "R", "r")
		e.status(resources.CeilingApplied)

		e.cgroup.Fail("Restore", enforcetest.ErrBroken)
		e.remove(resources.NewTarget(targetID))
		e.gone(resources.NewCeilingStatus(targetID))
		assert.Equal(t, atCeiling, e.cgroup.CPUMax())

		e.cgroup.Fail("Restore", nil)
		require.Eventually(t, func() bool { return e.cgroup.CPUMax() == enforcetest.Unlimited }, patience, time.Millisecond, "tried again")
	})
}

func TestCeilingController_ReportsWhatPreventsWriting(t *testing.T) {
	for reason, err := range map[string]error{
		resources.ReasonNotPermitted: unix.EROFS, resources.ReasonNoController: cgroup.ErrNoController, resources.ReasonThreaded: cgroup.ErrThreaded,
		resources.ReasonFrozen: cgroup.ErrFrozen, resources.ReasonBadJournal: cgroup.ErrBadJournal, resources.ReasonWriteError: errors.New("disk on fire"),
	} {
		t.Run(reason, func(t *testing.T) {
			e := newEnforcing(t, enforceDoc, enforcetest.Unlimited, nil)

			method := "Controllable"
			if reason == resources.ReasonBadJournal {
				method = "ReadJournal"
			}

			e.cgroup.Fail(method, err)
			e.desire(500, "R", "r")
			assert.Contains(t, e.condition(reason).Message, err.Error())

			// In mode observe nothing is to be written. The journal may be that of a ceiling in force.
			e.configure("mode: observe\n" + enforceDoc)

			if reason != resources.ReasonBadJournal {
				e.condition(resources.ReasonOK)
			}
		})
	}
}

func TestCeilingController_StopsAsConfigured(t *testing.T) {
	for action, want := range map[string]string{"release": enforcetest.Unlimited, "keep": atCeiling} {
		t.Run(action, func(t *testing.T) {
			e := newEnforcing(t, enforceDoc+"ceiling: {onStop: "+action+"}\n", enforcetest.Unlimited, nil)
			e.desire(500, "R", "r")
			e.status(resources.CeilingApplied)
			e.end()

			require.NoError(t, e.c.Stop())
			assert.Equal(t, want, e.cgroup.CPUMax())
		})
	}
}

func TestCeilingController_ContinuesAdoptedCeilings(t *testing.T) {
	e := newEnforcing(t, enforceDoc, atCeiling, func(e *enforcing) {
		e.cgroup.SetJournal(cgroup.Journal{
			Target: targetID, Rule: "R", OwnerLimit: enforcetest.Unlimited, Applied: atCeiling, BootID: "boot",
			Since: max(0, boottime.Now()-time.Minute), HoldUntil: boottime.Now() + time.Hour,
		})

		require.Contains(t, e.c.Orphans.Adopt(false).Holds, targetID)
	})

	require.Eventually(t, func() bool { return len(e.actions()) == 1 }, patience, time.Millisecond)
	assert.Equal(t, resources.ActionAdopt, e.actions()[0].Action)
	assert.True(t, e.status(resources.CeilingApplied).Adopted)

	e.desire(0, "", "the probe measured no breach")
	e.gone(resources.NewCeilingStatus(targetID))
	assert.Equal(t, enforcetest.Unlimited, e.cgroup.CPUMax())
}

func TestCeilingController_SaysWhyThereIsNoEvidence(t *testing.T) {
	for name, test := range map[string]struct{ document, want string }{
		"no port":     {"interval: 100ms\ntarget: {metrics: {port: 0}}\n", "target.metrics.port is 0"},
		"not a pod's": {"interval: 100ms\n", "network namespace"},
	} {
		t.Run(name, func(t *testing.T) {
			var captures atomic.Int32

			e := newEnforcing(t, test.document, enforcetest.Unlimited, func(e *enforcing) {
				e.c.Evidence = &record.Evidence{Dir: t.TempDir()}
				e.waitForEvidence()
				e.c.enforcer.evidence.create = func(target string, cfg config.Evidence) (*record.Folder, error) {
					captures.Add(1)

					return e.c.Evidence.Create(target, cfg)
				}
			})
			e.desire(500, "R", "r")
			e.status(resources.CeilingApplied)
			require.Eventually(t, func() bool { return len(e.actions()) == 1 }, patience, time.Millisecond)
			assert.Contains(t, e.actions()[0].Evidence, "none: ")
			assert.Contains(t, e.actions()[0].Evidence, test.want)

			// Once for a hold.
			put(e.suite, resources.NewDesiredCeiling(targetID), func(spec *resources.DesiredCeilingSpec) { spec.CeilingMillicores = 300 })
			require.Eventually(t, func() bool { return e.cgroup.CPUMax() == "30001 100000" }, patience, time.Millisecond)
			require.Eventually(t, func() bool { return len(e.actions()) == 2 }, patience, time.Millisecond)
			require.EqualValues(t, 1, captures.Load())
			e.end()
			require.NoError(t, e.c.Stop())
		})
	}
}

func TestCapturer(t *testing.T) {
	s := newSuite(t, newState(t))
	target := resources.TargetSpec{PID: 1}

	_, err := (&Capturer{}).Capture(t.Context(), targetID, target)
	require.ErrorContains(t, err, "set its flag -evidence")

	c := Capturer{Store: &record.Evidence{Dir: t.TempDir()}, Source: hostSource, State: s.state}
	_, err = c.Capture(t.Context(), targetID, target)
	require.ErrorContains(t, err, "no configuration is in force yet")

	s.configure("evidence: {limit: 0}")
	_, err = c.Capture(t.Context(), targetID, target)
	require.ErrorContains(t, err, "set evidence.limit")

	s.configure("mode: observe")
	_, err = c.Capture(t.Context(), targetID, target)
	require.ErrorContains(t, err, "network namespace")
}

// TestWireTexts_AreThoseOfEnforce: clients compare states and kinds with the constants of package resources.
func TestWireTexts_AreThoseOfEnforce(t *testing.T) {
	for _, pair := range [][2]string{
		{resources.CeilingApplied, enforce.StateApplied}, {resources.CeilingObserved, enforce.StateObserved}, {resources.CeilingOwnerLower, enforce.StateOwnerLower},
		{resources.CeilingYielded, enforce.StateYielded}, {resources.CeilingTerminating, enforce.StateTerminating}, {resources.CeilingFailed, enforce.StateFailed},
		{resources.ActionApply, enforce.ActionApply}, {resources.ActionAdjust, enforce.ActionAdjust}, {resources.ActionRelease, enforce.ActionRelease},
		{resources.ActionProbe, enforce.ActionProbe}, {resources.ActionAdopt, enforce.ActionAdopt}, {resources.ActionExternalChange, enforce.ActionExternalChange},
		{resources.ActionObserve, enforce.ActionObserve}, {resources.ActionFail, enforce.ActionFail},
		{resources.RuleOverride, decide.RuleOverride}, {resources.OverridePause, string(decide.Pause)},
		{resources.OverrideRelease, string(decide.Release)}, {resources.OverrideThrottle, string(decide.Throttle)},
	} {
		t.Run(pair[0], func(t *testing.T) { assert.Equal(t, pair[0], pair[1]) })
	}
}

// TestCeilingController_ReleasesWithoutDecisions: nothing else ends a ceiling while the policy or the sampling is stuck.
func TestCeilingController_ReleasesWithoutDecisions(t *testing.T) {
	leases := &enforce.Leases{}
	e := newEnforcing(t, enforceDoc, enforcetest.Unlimited, func(e *enforcing) { e.c.Leases = leases })

	leases.Renew(targetID, boottime.Now(), time.Hour)
	e.desire(500, "SpegelHighCPU", "cpu 1803m")
	e.status(resources.CeilingApplied)

	assert.Equal(t, atCeiling, e.cgroup.CPUMax())
	leases.Renew(targetID, boottime.Now(), 50*time.Millisecond)

	condition := e.condition(resources.ReasonNoDecisions)
	assert.Contains(t, condition.Message, targetID)
	e.gone(resources.NewCeilingStatus(targetID))
	assert.Equal(t, enforcetest.Unlimited, e.cgroup.CPUMax())

	// The desired ceiling is the same when decisions go on.
	leases.Renew(targetID, boottime.Now(), time.Hour)
	e.status(resources.CeilingApplied)
	e.condition(resources.ReasonOK)
	assert.Equal(t, atCeiling, e.cgroup.CPUMax())
}
