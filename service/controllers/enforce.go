//go:build linux

package controllers

import (
	"errors"
	"fmt"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// Back-off of what failed, and of putting the ceiling back over somebody else's value.
const (
	minBackoff = time.Second
	maxBackoff = time.Minute
)

// ceiling is one container's: everything between a wanted ceiling and cpu.max.
type ceiling struct {
	paths  Paths
	bootID string
	id     string
	target resources.TargetSpec

	dir     *cgroup.Dir
	journal *cgroup.Journal
	status  resources.CeilingStatusSpec
	err     error

	// retryAt ends a back-off, probeAt is when writability is asked for again, and until claimBy an
	// adopted ceiling waits for the policy's first word.
	retryAt time.Duration
	backoff time.Duration
	probeAt time.Duration
	claimBy time.Duration
}

func newCeiling(paths Paths, bootID, id string, target resources.TargetSpec) *ceiling {
	c := &ceiling{paths: paths, bootID: bootID, id: id, target: target}
	c.open()

	return c
}

// open keeps the container's cgroup open: from here on no other one can be hit.
func (c *ceiling) open() {
	dir, err := cgroup.Open(c.paths.Cgroup, c.target.Cgroup)
	if err != nil {
		c.err = err

		return
	}

	if dir.ID().Inode != c.target.CgroupInode {
		dir.Close() //nolint:errcheck // not ours

		c.err = fmt.Errorf("cgroup %s belongs to another container by now", c.target.Cgroup)

		return
	}

	c.dir = dir
	c.err = dir.Writable()
}

func (c *ceiling) close() {
	if c.dir != nil {
		c.dir.Close() //nolint:errcheck // nothing to flush
	}
}

// reconcile moves cpu.max towards what is wanted; nil is no ceiling.
func (c *ceiling) reconcile(wanted *resources.CeilingSpecSpec, now time.Duration) []resources.GuardActionSpec {
	if c.dir == nil {
		c.open()
	}

	if wanted != nil {
		c.claimBy = 0
	}

	switch {
	case c.dir == nil:
		return nil
	case wanted != nil && wanted.Mode == string(config.ModeObserve):
		return c.observe(wanted)
	case wanted == nil && c.journal == nil:
		c.status = resources.CeilingStatusSpec{}
		c.probe(now)

		return nil
	case now < c.retryAt, wanted == nil && now < c.claimBy:
		return nil
	case wanted == nil:
		return c.lift(resources.ActionRelease, "quiet")
	case wanted.Probing:
		return c.lift(resources.ActionProbe, "the hold is over and demand presses on")
	case c.journal != nil:
		return c.watch(wanted, now)
	default:
		return c.apply(wanted, now)
	}
}

// probe learns whether a ceiling could be written, before one is needed.
func (c *ceiling) probe(now time.Duration) {
	if now >= c.probeAt {
		c.err = c.dir.Writable()
		c.probeAt = now + minBackoff
	}

	if errors.Is(c.err, cgroup.ErrGone) {
		c.err = nil // the target is about to go
	}
}

func (c *ceiling) observe(wanted *resources.CeilingSpecSpec) []resources.GuardActionSpec {
	var actions []resources.GuardActionSpec

	if c.journal != nil {
		actions = c.lift(resources.ActionRelease, "mode is observe")
	}

	if c.status.State == resources.CeilingObserved && c.status.SinceClock == wanted.SinceClock {
		return actions
	}

	c.status = c.newStatus(wanted, resources.CeilingObserved)

	return append(actions, c.action(resources.ActionObserve, wanted.Rule, wanted.Reason, "", "", nil))
}

// apply puts a ceiling in force.
func (c *ceiling) apply(wanted *resources.CeilingSpecSpec, now time.Duration) []resources.GuardActionSpec {
	owner, err := c.dir.ReadCPUMax()
	if err != nil {
		return c.failed(wanted, "", err, now)
	}

	// Never take a ceiling of ours for the owner's value.
	if journal, err := c.dir.ReadJournal(); err == nil && journal.Applied == owner.String() {
		c.adoptJournal(journal)

		return nil
	}

	limited, write := owner.Limit(wanted.CeilingMillicores, wanted.FloorMillicores)
	if !write {
		c.err = nil

		if c.status.State == resources.CeilingOwnerLower && c.status.Original == owner.String() {
			return nil
		}

		c.status = c.newStatus(wanted, resources.CeilingOwnerLower)
		c.status.Original, c.status.ReadBack = owner.String(), owner.String()

		return nil
	}

	journal := cgroup.Journal{
		Target: c.id, Rule: wanted.Rule, Reason: wanted.Reason,
		Original: owner.String(), OriginalBurstUsec: c.dir.ReadBurst(), Applied: limited.String(),
		Since: wanted.SinceClock, HoldUntil: wanted.HoldUntilClock, BootID: c.bootID,
	}

	readBack, err := c.dir.Apply(journal)
	if err != nil {
		return c.failed(wanted, owner.String(), err, now)
	}

	foreign := c.status.ForeignWrites

	c.err, c.journal = nil, &journal
	c.status = c.newStatus(wanted, resources.CeilingApplied)
	c.status.Original, c.status.Applied, c.status.ReadBack = journal.Original, journal.Applied, readBack.String()
	c.status.ForeignWrites = foreign

	return []resources.GuardActionSpec{
		c.action(resources.ActionApply, wanted.Rule, wanted.Reason, owner.String(), readBack.String(), nil),
	}
}

// watch looks after a ceiling in force. A value somebody else wrote is the owner's new will: it
// becomes the one to restore, and the lower of the two is applied, ever more slowly.
func (c *ceiling) watch(wanted *resources.CeilingSpecSpec, now time.Duration) []resources.GuardActionSpec {
	current, err := c.dir.ReadCPUMax()
	if err != nil {
		return c.failed(wanted, c.status.ReadBack, err, now)
	}

	c.status.ReadBack = current.String()

	if current.String() == c.journal.Applied {
		return c.adjust(wanted, now)
	}

	foreign := c.action(resources.ActionForeign, wanted.Rule, "cpu.max was changed by somebody else: taken as the owner's new value",
		c.journal.Applied, current.String(), nil)

	c.status.ForeignWrites++

	// Forget the old value first: were we to end here, a restart must not restore it. Restore leaves a
	// foreign cpu.max alone and puts back the burst.
	if _, err := c.dir.Restore(*c.journal); err != nil {
		return append([]resources.GuardActionSpec{foreign}, c.failed(wanted, current.String(), err, now)...)
	}

	c.journal = nil
	c.status.State = resources.CeilingYielded
	c.backOff(now)

	return []resources.GuardActionSpec{foreign}
}

// adjust follows a wanted ceiling that changed: a step, or another configuration. It goes over the owner's value: a journal that
// named the new ceiling while the old one is in force would, after a crash, take the old one for
// somebody else's.
func (c *ceiling) adjust(wanted *resources.CeilingSpecSpec, now time.Duration) []resources.GuardActionSpec {
	owner, err := cgroup.ParseCPUMax(c.journal.Original)
	if err != nil {
		return c.failed(wanted, c.journal.Applied, err, now)
	}

	if limited, _ := owner.Limit(wanted.CeilingMillicores, wanted.FloorMillicores); limited.String() == c.journal.Applied {
		return nil
	}

	before, foreign := c.journal.Applied, c.status.ForeignWrites

	lifted := c.lift(resources.ActionRelease, "the wanted ceiling changed")
	if c.journal != nil {
		return lifted // could not be lifted: tried again
	}

	c.status.ForeignWrites = foreign
	applied := c.apply(wanted, now)

	if c.journal == nil {
		return append(lifted, applied...)
	}

	// One thing was done, not two.
	return []resources.GuardActionSpec{c.action(resources.ActionAdjust, wanted.Rule, wanted.Reason, before, c.status.ReadBack, nil)}
}

// lift takes the ceiling back.
func (c *ceiling) lift(kind, reason string) []resources.GuardActionSpec {
	if c.journal == nil || c.dir == nil {
		return nil
	}

	journal := *c.journal

	restored, err := c.dir.Restore(journal)

	switch {
	case errors.Is(err, cgroup.ErrGone):
		// The cgroup took the ceiling and the journal with it.
		c.journal, c.err = nil, nil

		return nil
	case err != nil:
		repeated := c.err != nil && c.err.Error() == err.Error()

		c.err = err
		c.status.LastError = err.Error()
		c.backOff(Clock())

		if repeated {
			return nil // said once
		}

		return []resources.GuardActionSpec{c.action(resources.ActionFail, journal.Rule, reason, journal.Applied, "", err)}
	}

	c.journal, c.err = nil, nil
	c.status = resources.CeilingStatusSpec{}
	c.retryAt, c.backoff = 0, 0

	return []resources.GuardActionSpec{c.action(kind, journal.Rule, reason, journal.Applied, restored.String(), nil)}
}

func (c *ceiling) failed(wanted *resources.CeilingSpecSpec, before string, err error, now time.Duration) []resources.GuardActionSpec {
	if errors.Is(err, cgroup.ErrGone) {
		c.journal, c.err = nil, nil

		return nil
	}

	repeated := c.err != nil && c.err.Error() == err.Error()

	c.err = err
	c.status = c.newStatus(wanted, resources.CeilingFailed)
	c.status.LastError = err.Error()
	c.backOff(now)

	if repeated {
		return nil // said once
	}

	return []resources.GuardActionSpec{c.action(resources.ActionFail, wanted.Rule, wanted.Reason, before, "", err)}
}

func (c *ceiling) backOff(now time.Duration) {
	c.backoff = min(maxBackoff, max(minBackoff, 2*c.backoff))
	c.retryAt = now + c.backoff
}

func (c *ceiling) newStatus(wanted *resources.CeilingSpecSpec, state string) resources.CeilingStatusSpec {
	return resources.CeilingStatusSpec{
		State: state, ContainerID: c.target.ContainerID, Rule: wanted.Rule, AppliedAt: time.Now().UTC(),
		SinceClock: wanted.SinceClock, HoldUntilClock: wanted.HoldUntilClock,
	}
}

func (c *ceiling) action(kind, rule, reason, before, after string, err error) resources.GuardActionSpec {
	action := resources.GuardActionSpec{
		Action: kind, Target: c.id, ContainerID: c.target.ContainerID, Cgroup: c.target.Cgroup,
		Rule: rule, Reason: reason, Before: before, After: after,
	}

	if err != nil {
		action.Error = err.Error()
	}

	return action
}
