// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/state/owned"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/internal/task"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce/enforcetest"
)

// Ids of one container: without the container runtime, and with it.
const (
	unlabelledID = "/spegel-1/registry"
	labelledID   = targetID
)

// passing is a CeilingController whose passes and inputs a test makes.
type passing struct {
	*suite

	c    *CeilingController
	node *enforcetest.Node
	r    *unpublishing
}

func newPassing(t *testing.T) *passing {
	t.Helper()

	st := newState(t)
	p := &passing{suite: &suite{t: t, state: st}, node: enforcetest.NewNode(), r: &unpublishing{writer: owned.New(st, "guard.CeilingController")}}
	// Each search for journals is repeated.
	p.c = newCeilingController(p.node, st)
	p.c.Node = enforcetest.Incomplete(p.c.Node, errBroken)
	p.c.Orphans = enforce.NewOrphans(p.c.Node, &lock{}, zap.NewNop())
	p.c.Orphans.Adopt(false)
	beginPasses(p.c)

	return p
}

// targets are those of the next passes, by id: each is a container with a cgroup of the same name.
func (p *passing) targets(containers map[resource.ID]string) {
	clear(p.c.inputs.targets)

	for id, container := range containers {
		p.c.inputs.targets[id] = resources.TargetSpec{ContainerID: container, Cgroup: container, CgroupInode: 7}
	}
}

func (p *passing) desire(id resource.ID, change func(*resources.DesiredCeilingSpec)) {
	spec := resources.DesiredCeilingSpec{
		CeilingMillicores: 500, FloorMillicores: 100, Mode: string(config.ModeEnforce), Rule: "R", Reason: "r", SinceClock: 1, HoldUntilClock: time.Hour,
	}

	if change != nil {
		change(&spec)
	}

	p.c.inputs.desired[id] = &spec
}

func (p *passing) pass() error { return p.c.reconcile(p.t.Context(), p.r, zap.NewNop()) }

// passes is more passes than a ceiling needs to settle.
func (p *passing) passes() {
	p.t.Helper()

	for range 3 {
		require.NoError(p.t, p.pass())
	}
}

// done are the actions on record, oldest first.
func (p *passing) done() []string {
	var done []string

	for _, action := range p.actions() {
		done = append(done, action.Target+" "+action.Action+": "+action.Reason)
	}

	return done
}

// TestCeilingController_PassesACgroupOn: the container runtime answers again, and a container has another id. The ceiling under the
// first one is released once, and before the one under the second is written.
func TestCeilingController_PassesACgroupOn(t *testing.T) {
	for name, test := range map[string]struct {
		decided bool
		change  func(*resources.DesiredCeilingSpec)
		applied bool
	}{
		"no decision yet": {},
		"none desired":    {decided: true, change: func(spec *resources.DesiredCeilingSpec) { *spec = resources.DesiredCeilingSpec{} }},
		"mode observe":    {decided: true, change: func(spec *resources.DesiredCeilingSpec) { spec.Mode = string(config.ModeObserve) }},
		"same ceiling":    {decided: true, applied: true},
		"conflict: yield": {
			decided: true, applied: true, change: func(spec *resources.DesiredCeilingSpec) { spec.Conflict = string(config.ConflictYield) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPassing(t)
			c := p.node.Create("c1", enforcetest.Unlimited, 7)

			p.targets(map[resource.ID]string{unlabelledID: "c1"})
			p.desire(unlabelledID, nil)
			p.passes()
			require.Equal(t, atCeiling, c.CPUMax())

			p.targets(map[resource.ID]string{labelledID: "c1"})

			if test.decided {
				p.desire(labelledID, test.change)
			}

			p.passes()
			p.c.Orphans.Check(boottime.Now() + 2*time.Minute)
			p.passes()

			done := []string{unlabelledID + " apply: r", unlabelledID + " release: the target is gone"}
			want := enforcetest.Unlimited

			switch {
			case test.applied:
				done, want = append(done, labelledID+" apply: r"), atCeiling
				require.NotNil(t, c.Journal())
				assert.Equal(t, labelledID, c.Journal().Target)
			case name == "mode observe":
				done = append(done, labelledID+" would-apply: r")
			}

			assert.Equal(t, done, p.done())
			assert.Equal(t, want, c.CPUMax())
			p.gone(resources.NewCeilingStatus(unlabelledID))
		})
	}
}

// TestCeilingController_PassesOnWhatItCannotRelease: the next target adopts the ceiling that its earlier one could not release.
func TestCeilingController_PassesOnWhatItCannotRelease(t *testing.T) {
	p := newPassing(t)
	c := p.node.Create("c1", enforcetest.Unlimited, 7)

	p.targets(map[resource.ID]string{unlabelledID: "c1"})
	p.desire(unlabelledID, nil)
	p.passes()

	c.Fail("Restore", enforcetest.ErrBroken)
	p.targets(map[resource.ID]string{labelledID: "c1"})
	p.desire(labelledID, nil)
	p.passes()
	assert.Equal(t, []string{unlabelledID + " apply: r", unlabelledID + " fail: the target is gone"}, p.done())
	assert.Equal(t, atCeiling, c.CPUMax())
	assert.Equal(t, labelledID, c.Journal().Target, "a restart continues the hold of the new target")
	require.NotErrorIs(t, p.c.Orphans.Err(), enforcetest.ErrBroken, "it has a target")

	c.Fail("Restore", nil)
	p.desire(labelledID, func(spec *resources.DesiredCeilingSpec) {
		*spec = resources.DesiredCeilingSpec{Reason: "every rule was quiet"}
	})
	p.passes()
	assert.Equal(t, enforcetest.Unlimited, c.CPUMax())
	assert.Equal(t, labelledID+" release: every rule was quiet", p.done()[2])
	assert.Len(t, p.done(), 3)
}

// TestCeilingController_ExchangesCgroups: two targets that were named by what their containers show have each other's container now.
func TestCeilingController_ExchangesCgroups(t *testing.T) {
	const first, second = "a/1/c", "a/2/c"

	p := newPassing(t)
	p.node.Create("c1", enforcetest.Unlimited, 7)
	p.node.Create("c2", enforcetest.Unlimited, 7)
	p.targets(map[resource.ID]string{first: "c1", second: "c2"})
	p.desire(first, nil)
	p.desire(second, nil)
	p.passes()

	before := len(p.done())
	p.targets(map[resource.ID]string{first: "c2", second: "c1"})
	require.NoError(t, p.pass())
	assert.ElementsMatch(t, []string{
		first + " release: the container was replaced", second + " release: the container was replaced", first + " apply: r", second + " apply: r",
	}, p.done()[before:])

	p.passes()
	assert.Len(t, p.done(), before+4)
}

// TestCeilingController_OneTargetHasACgroup: the second target is published before the first one is removed.
func TestCeilingController_OneTargetHasACgroup(t *testing.T) {
	p := newPassing(t)
	c := p.node.Create("c1", enforcetest.Unlimited, 7)
	p.targets(map[resource.ID]string{unlabelledID: "c1"})
	p.desire(unlabelledID, nil)
	p.passes()

	p.targets(map[resource.ID]string{unlabelledID: "c1", labelledID: "c1"})
	p.passes() // nothing is decided about the second one

	p.desire(labelledID, func(spec *resources.DesiredCeilingSpec) { spec.CeilingMillicores = 300 })
	p.passes()
	assert.Equal(t, []string{unlabelledID + " apply: r"}, p.done())
	assert.Equal(t, atCeiling, c.CPUMax())
	p.gone(resources.NewCeilingStatus(labelledID))

	p.targets(map[resource.ID]string{labelledID: "c1"})
	p.passes()
	assert.Equal(t, []string{unlabelledID + " apply: r", unlabelledID + " release: the target is gone", labelledID + " apply: r"}, p.done())
	assert.Equal(t, "30001 100000", c.CPUMax())
}

// TestCeilingController_FollowsTargetsUnderAnotherID: as the test above, with resources that change one after the other.
func TestCeilingController_FollowsTargetsUnderAnotherID(t *testing.T) {
	e := newEnforcing(t, enforceDoc, enforcetest.Unlimited, nil)
	e.desire(500, "R", "r")
	e.status(resources.CeilingApplied)

	put(e.suite, resources.NewTarget("other/id/registry"), func(spec *resources.TargetSpec) {
		spec.ContainerID, spec.Cgroup, spec.CgroupInode, spec.PID = "c1", cgroupPath, 7, 1
	})
	e.remove(resources.NewTarget(targetID))
	e.gone(resources.NewCeilingStatus(targetID))

	require.Eventually(t, func() bool { return len(e.actions()) >= 2 }, patience, time.Millisecond)

	// Further passes record nothing.
	for range 5 {
		e.c.Wake()
		time.Sleep(10 * time.Millisecond)
	}

	e.end()
	require.Len(t, e.actions(), 2)
	assert.Equal(t, "the target is gone", e.actions()[1].Reason)
	assert.Equal(t, enforcetest.Unlimited, e.cgroup.CPUMax())
}

// closing is a cgroup that panics when it is closed.
type closing struct{ enforce.Cgroup }

func (closing) Close() error { panic("close") }

// TestCeilingController_FollowsOthersAfterAPanicInARelease: the releases come first, and none of them keeps a ceiling from being written.
func TestCeilingController_FollowsOthersAfterAPanicInARelease(t *testing.T) {
	p := newPassing(t)
	gone, other := p.node.Create("c1", enforcetest.Unlimited, 7), p.node.Create("c2", enforcetest.Unlimited, 7)
	open := p.c.enforcer.ceilings.node.Open
	p.c.enforcer.ceilings.node.Open = func(path string) (enforce.Cgroup, error) {
		opened, err := open(path)

		return closing{opened}, err
	}

	p.targets(map[resource.ID]string{"a/1/c": "c1"})
	p.desire("a/1/c", nil)
	p.passes()

	p.targets(map[resource.ID]string{"a/2/c": "c2"})
	p.desire("a/2/c", nil)
	require.ErrorIs(t, p.pass(), task.ErrPanicked)
	assert.Equal(t, enforcetest.Unlimited, gone.CPUMax())
	assert.Equal(t, atCeiling, other.CPUMax())

	p.passes()
	assert.Equal(t, []string{"a/1/c apply: r", "a/1/c release: the target is gone", "a/2/c apply: r"}, p.done())
}
