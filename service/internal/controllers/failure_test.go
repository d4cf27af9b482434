// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/owned"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/internal/task"
	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce/enforcetest"
	"github.com/spegel-guard/spegel-guard/service/internal/observe"
	"github.com/spegel-guard/spegel-guard/service/internal/persist"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

// long is a time after which the runtime restarts a failing controller about once a minute.
const long = 5 * time.Minute

// refused is a resource that cannot be created, or with an empty id a type that cannot be listed.
type refused struct {
	kind resource.Type
	id   resource.ID
}

// refusing is a state that refuses one thing until it is nil.
type refusing struct {
	state.CoreState

	refused atomic.Pointer[refused]
}

func (s *refusing) check(kind resource.Type, id resource.ID) error {
	if what := s.refused.Load(); what != nil && *what == (refused{kind, id}) {
		return errBroken
	}

	return nil
}

// Create implements state.CoreState.
func (s *refusing) Create(ctx context.Context, r resource.Resource, opts ...state.CreateOption) error {
	if err := s.check(r.Metadata().Type(), r.Metadata().ID()); err != nil {
		return err
	}

	return s.CoreState.Create(ctx, r, opts...)
}

// List implements state.CoreState.
func (s *refusing) List(ctx context.Context, kind resource.Kind, opts ...state.ListOption) (resource.List, error) {
	if err := s.check(kind.Type(), ""); err != nil {
		return resource.List{}, err
	}

	return s.CoreState.List(ctx, kind, opts...)
}

// newCeilingController returns one over cgroups in memory and a state.
func newCeilingController(node *enforcetest.Node, st state.State) *CeilingController {
	return &CeilingController{
		Node: node.Enforce(), Orphans: enforce.NewOrphans(node.Enforce(), &lock{}, zap.NewNop()), Lock: &lock{}, Initial: config.Default(),
		Feed: observe.NewFeed(), Source: hostSource, Log: record.NewActions(st, zap.NewNop()),
		Reaction: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "r"}),
	}
}

// beginPasses begins a controller whose passes and inputs a test makes, without inputs yet.
func beginPasses(c *CeilingController) {
	c.begin()
	c.config.document = "set"
	c.inputs = ceilingInputs{targets: map[resource.ID]resources.TargetSpec{}, desired: map[resource.ID]*resources.DesiredCeilingSpec{}}
}

func applied(status resources.CeilingStatusSpec) bool {
	return status.State == resources.CeilingApplied
}

// TestCeilingController_DelaysNoOtherTarget: a target is released while the status of another one cannot be published, and once the
// desired ceilings can be read, though no event follows.
func TestCeilingController_DelaysNoOtherTarget(t *testing.T) {
	for _, test := range []struct {
		name    string
		refused refused
		// until is set when the release waits for what is refused.
		until bool
	}{
		{name: "status of another target", refused: refused{resources.CeilingStatusType, "a/1/c"}},
		{name: "list of desired ceilings", refused: refused{resources.DesiredCeilingType, ""}, until: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				refusing := &refusing{CoreState: newState(t)}
				st, node := state.WrapCore(refusing), enforcetest.NewNode()
				s := newSuite(t, st, newCeilingController(node, st))
				s.configure(enforceDoc)

				desire := func(id resource.ID, millicores int64) {
					put(s, resources.NewDesiredCeiling(id), func(spec *resources.DesiredCeilingSpec) {
						*spec = resources.DesiredCeilingSpec{
							Mode: string(config.ModeEnforce), CeilingMillicores: millicores, FloorMillicores: 100, Rule: "R", Reason: "r",
							SinceClock: boottime.Now(), HoldUntilClock: boottime.Now() + time.Hour,
						}
					})
				}

				if !test.until {
					refusing.refused.Store(&test.refused)
				}

				for _, id := range []resource.ID{"a/1/c", "a/2/c"} {
					node.Create(id, enforcetest.Unlimited, 7)
					put(s, resources.NewTarget(id), func(spec *resources.TargetSpec) {
						*spec = resources.TargetSpec{ContainerID: id, Cgroup: id, CgroupInode: 7, PID: 1}
					})
					desire(id, 500)
				}

				other := resources.NewCeilingStatus("a/2/c")
				await(s, other, applied)

				refusing.refused.Store(&test.refused)

				if test.until {
					desire("a/2/c", 0)
				}

				time.Sleep(long)

				if test.until {
					refusing.refused.Store(nil)
				} else {
					desire("a/2/c", 0)
				}

				time.Sleep(time.Second)
				synctest.Wait()

				_, err := st.Get(t.Context(), other.Metadata())
				require.True(t, state.IsNotFoundError(err), "not released: %v", err)

				refusing.refused.Store(nil)
				await(s, resources.NewCeilingStatus("a/1/c"), applied)
			})
		})
	}
}

// TestCeilingController_RecordsWhatAPanicInterrupts: a panic at one target loses no action, neither of it nor of an orphaned ceiling.
func TestCeilingController_RecordsWhatAPanicInterrupts(t *testing.T) {
	node, st := enforcetest.NewNode(), newState(t)
	c, s := newCeilingController(node, st), &suite{t: t, state: st}

	node.Create("orphan", atCeiling, 7).SetJournal(cgroup.Journal{
		Target: targetID, Rule: "R", OwnerLimit: enforcetest.Unlimited, Applied: atCeiling, BootID: "boot",
		Since: max(0, boottime.Now()-time.Minute), HoldUntil: boottime.Now() + time.Hour,
	})
	require.Contains(t, c.Orphans.Adopt(false).Holds, targetID)

	node.Create("a/1/c", enforcetest.Unlimited, 7)
	c.begin()
	c.config.document = "set"
	c.inputs = ceilingInputs{
		targets: map[resource.ID]resources.TargetSpec{"a/1/c": {ContainerID: "c", Cgroup: "a/1/c", CgroupInode: 7}},
		desired: map[resource.ID]*resources.DesiredCeilingSpec{
			"a/1/c": {CeilingMillicores: 500, FloorMillicores: 100, Rule: "R", SinceClock: 1, HoldUntilClock: time.Hour},
		},
	}

	writer := owned.New(st, "guard.CeilingController")
	panicking := &unpublishing{writer: panickingWriter{Writer: writer, kind: resources.CeilingStatusType, id: "a/1/c"}}

	require.ErrorIs(t, c.reconcile(t.Context(), panicking, zap.NewNop()), task.ErrPanicked)

	var kinds []string

	for _, action := range s.actions() {
		kinds = append(kinds, action.Action)
	}

	assert.Equal(t, []string{resources.ActionAdopt, resources.ActionApply}, kinds)
}

// panickingWriter panics when it updates one resource.
type panickingWriter struct {
	controller.Writer

	kind resource.Type
	id   resource.ID
}

func (w panickingWriter) Modify(
	ctx context.Context, r resource.Resource, update func(resource.Resource) error, options ...controller.ModifyOption,
) error {
	if r.Metadata().Type() == w.kind && r.Metadata().ID() == w.id {
		panic("modify")
	}

	return w.Writer.Modify(ctx, r, update, options...)
}

// TestPolicyController_PanicEndsOneDecision: the other targets are decided on at each sample, and their holds are saved.
func TestPolicyController_PanicEndsOneDecision(t *testing.T) {
	ticks := newTicking(t)
	ticks.w = panickingWriter{Writer: ticks.w, kind: resources.DesiredCeilingType, id: "a/1/c"}
	ticks.c.decider.state = persist.File[persist.Workload]{Path: filepath.Join(t.TempDir(), "state.json"), BootID: "boot"}

	load := map[string]float64{"a/1/c": 1.8, "a/2/c": 1.8, "a/3/c": 1.8}

	for range 700 {
		require.ErrorIs(t, ticks.try(load), task.ErrPanicked)

		for _, id := range []resource.ID{"a/2/c", "a/3/c"} {
			decision := ticks.c.decider.workloads.known[id].Decision()

			desired, err := safe.StateGetByID[*resources.DesiredCeiling](t.Context(), ticks.state, id)
			require.NoError(t, err)
			require.Equal(t, decision.Hold.Since, desired.TypedSpec().SinceClock)
		}
	}

	saved, err := ticks.c.decider.state.Load()
	require.NoError(t, err)

	for _, id := range []resource.ID{"a/2/c", "a/3/c"} {
		decision := ticks.c.decider.workloads.known[id].Decision()
		assert.True(t, decision.Held)
		assert.Equal(t, decision.Hold, saved[id].Hold)
	}

	_, err = safe.StateGetByID[*resources.GuardStatus](t.Context(), ticks.state, resources.GuardStatusID)
	assert.NoError(t, err)
}

// TestPolicyController_DelaysNoOtherTarget: an override of a target counts while the rules of another one cannot be published, and once
// the overrides can be read, at the next sample.
func TestPolicyController_DelaysNoOtherTarget(t *testing.T) {
	for _, test := range []struct {
		name    string
		refused refused
		// until is set when the override waits for what is refused.
		until bool
	}{
		{name: "rules of another target", refused: refused{resources.RuleStatusType, "a/1/c/R"}},
		{name: "list of overrides", refused: refused{resources.OverrideType, ""}, until: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				refusing := &refusing{CoreState: newState(t)}
				refusing.refused.Store(&test.refused)

				st := state.WrapCore(refusing)
				c := &PolicyController{Feed: observe.NewFeed(), History: &record.History{}}
				s := newSuite(t, st, c)
				clock := boottime.Now()

				sample := func() {
					clock += time.Second

					for _, id := range []resource.ID{"a/1/c", "a/2/c"} {
						c.Feed.Put(id, &resources.TargetStatsSpec{ContainerID: id, Clock: clock, CPU: resources.Measured(0.1)}, observe.Answer{})
					}

					c.Feed.Wake()
					time.Sleep(time.Second)
					synctest.Wait()
				}

				override := func() {
					put(s, resources.NewOverride("a/2/c"), func(spec *resources.OverrideSpec) {
						spec.Kind, spec.CeilingMillicores = resources.OverrideThrottle, 200
						spec.SinceClock, spec.UntilClock = boottime.Now(), boottime.Now()+time.Hour
					})
				}

				s.configure(quickRules)

				if test.until {
					override()
				}

				for range int(long / time.Second) {
					sample()
				}

				if test.until {
					refusing.refused.Store(nil)
				} else {
					override()
				}

				sample()

				desired, err := safe.StateGetByID[*resources.DesiredCeiling](t.Context(), st, "a/2/c")
				require.NoError(t, err)
				assert.EqualValues(t, 200, desired.TypedSpec().CeilingMillicores)
			})
		})
	}
}
