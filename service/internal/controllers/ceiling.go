//go:build linux

package controllers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
	"github.com/spegel-guard/spegel-guard/service/internal/host"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

// CeilingController is the only one that has a target written to.
type CeilingController struct {
	Host host.Host
	// Failed observes each failure to write or to restore a ceiling; nil for none.
	Failed func(error)
	// Lock must be held to write.
	Lock *enforce.Lock
	// Leftovers of an earlier process.
	Leftovers enforce.Leftovers
	// Initial configuration, until the active one is read.
	Initial config.Config
	// Active is the configuration in force.
	Active *config.Active
	// Evidence is where it is kept; without one none is taken.
	Evidence *record.Evidence
	// Log takes what was done.
	Log *record.Log

	// Reaction takes the time from the sample that a ceiling is due to until it is in force, in seconds.
	Reaction prometheus.Observer

	// wake queues a look at what is wanted; nil while it does not run.
	wake atomic.Pointer[func()]

	config   activeConfig
	asked    asked
	ceilings map[string]*enforce.Ceiling
	// orphans are ceilings without a target: an earlier process's that wait for theirs to show up, and
	// such as could not be taken back when their target went.
	orphans map[string]*enforce.Ceiling
	// captures by target.
	captures map[string]*capture
	// published by target, and reported the condition: what clients know.
	published map[string]resources.CeilingStatusSpec
	reported  [2]string
	// startedAt is when this process began; what came before it has no reaction.
	startedAt time.Duration
	// reacted is each target's hold whose reaction was taken last.
	reacted map[string]time.Duration
}

// Name implements controller.Controller.
func (*CeilingController) Name() string { return "guard.CeilingController" }

// Inputs implements controller.Controller.
func (*CeilingController) Inputs() []controller.Input {
	return []controller.Input{
		weak(resources.GuardConfigType), weak(resources.TargetType), weak(resources.DesiredCeilingType), weak(resources.OverrideType),
	}
}

// Outputs implements controller.Controller.
func (*CeilingController) Outputs() []controller.Output {
	return []controller.Output{
		{Type: resources.CeilingStatusType, Kind: controller.OutputExclusive},
		{Type: resources.ConditionType, Kind: controller.OutputShared},
	}
}

// Run implements controller.Controller. It leaves the ceilings as they are: see Stop.
func (c *CeilingController) Run(ctx context.Context, r controller.Runtime, logger *zap.Logger) error {
	c.begin()

	queue := r.QueueReconcile
	c.wake.Store(&queue)

	defer c.wake.Store(nil)

	interval := func() time.Duration {
		if c.idle() {
			return max(c.config.Interval.Duration, idleInterval)
		}

		return c.config.Interval.Duration
	}

	return every(ctx, r, interval, func(tick bool) error {
		// Between two changes there is nothing to ask the state for; cpu.max is looked at nevertheless.
		if !tick {
			if err := c.ask(ctx, r); err != nil {
				return err
			}
		}

		return c.reconcile(ctx, r, logger)
	})
}

// Wake makes it look at what is wanted now. It may be called from anywhere, at any time.
func (c *CeilingController) Wake() {
	if wake := c.wake.Load(); wake != nil {
		(*wake)()
	}
}

// idleInterval is how often it is looked, without an event, while there is nothing to do.
const idleInterval = enforce.ProbeInterval

// idle tells that no ceiling is wanted, and none is there to be watched or taken back.
func (c *CeilingController) idle() bool {
	if len(c.asked.wanted) > 0 || len(c.orphans) > 0 {
		return false
	}

	for _, ceiling := range c.ceilings {
		if ceiling.InForce() {
			return false
		}
	}

	return true
}

// begin is for the first Run; one after an error goes on.
func (c *CeilingController) begin() {
	if c.ceilings == nil {
		c.ceilings, c.orphans = map[string]*enforce.Ceiling{}, c.Leftovers.Ceilings
		c.captures, c.published = map[string]*capture{}, map[string]resources.CeilingStatusSpec{}
		c.config.Config, c.config.Active = c.Initial, c.Active
		c.startedAt, c.reacted = boottime.Now(), map[string]time.Duration{}
	}
}

func (c *CeilingController) reconcile(ctx context.Context, r controller.Runtime, logger *zap.Logger) error {
	if c.config.document == "" {
		return nil
	}

	// There was no hierarchy to lock when the service started, perhaps.
	if err := c.Lock.Acquire(); errors.Is(err, cgroup.ErrNotUnified) {
		return nil // discovery says so
	} else if err != nil {
		return c.report(ctx, r, logger, resources.ReasonNoLock, err.Error())
	}

	done := c.Leftovers.Actions
	c.Leftovers.Actions = nil

	orders := c.asked.orders.at(boottime.Now())

	for id, target := range c.asked.targets {
		ceiling, replaced := c.ceilingOf(id, target)
		done = append(done, replaced...)
		wanted := c.asked.wanted[id]

		// The policy takes its wish back, too; but it is this that says why.
		if order := orders.of(id); order.Suspends() {
			wanted = nil
			done = append(done, ceiling.Lift(resources.ActionRelease, inWords(order))...)
		}

		ready, kept := c.capture(id, target, wanted, ceiling.InForce(), r.QueueReconcile)
		if !ready {
			wanted = nil
		}

		did := ceiling.Reconcile(wanted, boottime.Now())
		c.observe(id, did, wanted)
		done = append(done, withEvidence(did, kept)...)

		if err := c.publish(ctx, r, id, ceiling.Status()); err != nil {
			return err
		}
	}

	gone, err := c.drop(ctx, r)
	if err != nil {
		return err
	}

	done = append(append(done, gone...), c.expireOrphans(boottime.Now())...)

	if err := c.Log.Record(ctx, c.inMode(done)...); err != nil {
		return err
	}

	return c.reportCondition(ctx, r, logger)
}

// observe takes the time of a reaction. A ceiling that another try put in force, or a person, has none.
func (c *CeilingController) observe(id string, did []enforce.Action, wanted *resources.DesiredDesiredCeiling) {
	for i := range did {
		if did[i].Action != resources.ActionApply || wanted.Rule == resources.RuleOverride ||
			wanted.SinceClock < c.startedAt || wanted.SinceClock == c.reacted[id] {
			continue
		}

		c.reacted[id] = wanted.SinceClock
		did[i].Reaction = boottime.Now() - wanted.SinceClock
		c.Reaction.Observe(did[i].Reaction.Seconds())
	}
}

// drop gives up the ceilings of targets that are gone.
func (c *CeilingController) drop(ctx context.Context, r controller.Writer) ([]enforce.Action, error) {
	var done []enforce.Action

	for id, ceiling := range c.ceilings {
		if _, present := c.asked.targets[id]; present {
			continue
		}

		// The container is gone, and with it its cgroup; if only the process is, the ceiling is lifted.
		done = append(done, c.abandon(ceiling, "target gone")...)
		delete(c.ceilings, id)
		c.dropCapture(id)
		delete(c.reacted, id)

		if err := c.publish(ctx, r, id, resources.CeilingStatusSpec{}); err != nil {
			return done, err
		}
	}

	return done, nil
}

// ceilingOf returns the target's ceiling, a new one for a new container, and what taking back the old one's did.
func (c *CeilingController) ceilingOf(id string, target resources.TargetSpec) (*enforce.Ceiling, []enforce.Action) {
	var actions []enforce.Action

	if known, ok := c.ceilings[id]; ok {
		if sameContainer(known.Target(), target) {
			return known, nil
		}

		actions = c.abandon(known, "container replaced")
	}

	created := enforce.New(enforce.Node{Host: c.Host, Failed: c.Failed}, id, target)

	if orphan, ok := c.orphans[target.Cgroup]; ok {
		created.Claim(orphan)
		delete(c.orphans, target.Cgroup)
	}

	c.ceilings[id] = created

	return created, actions
}

// abandon takes a ceiling back for good. One that cannot be taken back now is kept and tried again.
func (c *CeilingController) abandon(gone *enforce.Ceiling, reason string) []enforce.Action {
	actions := gone.Lift(resources.ActionRelease, reason)

	if gone.InForce() {
		c.orphans[gone.Target().Cgroup] = gone
	} else {
		gone.Close()
	}

	return actions
}

// expireOrphans takes back what no target claimed.
func (c *CeilingController) expireOrphans(now time.Duration) []enforce.Action {
	var actions []enforce.Action

	for path, orphan := range c.orphans {
		actions = append(actions, orphan.Expire(now)...)

		if !orphan.InForce() {
			orphan.Close()
			delete(c.orphans, path)
		}
	}

	return actions
}

// publish makes a ceiling's resource what it is now; one without a state is none.
func (c *CeilingController) publish(ctx context.Context, r controller.Writer, id string, status resources.CeilingStatusSpec) error {
	if c.published[id] == status {
		return nil
	}

	if status.State == "" {
		if err := ignoreNotFound(r.Destroy(ctx, resources.NewCeilingStatus(id).Metadata())); err != nil {
			return fmt.Errorf("error removing the ceiling of %s: %w", id, err)
		}

		delete(c.published, id)

		return nil
	}

	err := safe.WriterModify(ctx, r, resources.NewCeilingStatus(id), func(s *resources.CeilingStatus) error {
		*s.TypedSpec() = status

		return nil
	})
	if err != nil {
		return fmt.Errorf("error publishing the ceiling of %s: %w", id, err)
	}

	c.published[id] = status

	return nil
}

// inMode says in which mode it was done.
func (c *CeilingController) inMode(done []enforce.Action) []enforce.Action {
	for i := range done {
		done[i].Mode = string(c.config.Mode)
	}

	return done
}

// Stop leaves every ceiling as the configuration wants it after the service's end. It is called after
// the last Run, however that ended.
func (c *CeilingController) Stop() {
	c.begin()

	for id := range c.captures {
		c.dropCapture(id)
	}

	left := slices.AppendSeq(slices.Collect(maps.Values(c.ceilings)), maps.Values(c.orphans))

	for _, ceiling := range left {
		if c.config.Ceiling.OnStop == config.StopRelease {
			for _, action := range c.inMode(ceiling.Lift(resources.ActionRelease, "service stopped")) {
				c.Log.Write(action)
			}
		}

		ceiling.Close()
	}

	c.ceilings, c.orphans = map[string]*enforce.Ceiling{}, map[string]*enforce.Ceiling{}
}
