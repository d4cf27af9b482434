//go:build linux

package enforce

import (
	"errors"
	"fmt"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// apply puts a ceiling in force.
func (c *Ceiling) apply(desired *resources.DesiredCeilingSpec, now time.Duration) []Action {
	if err := c.dir.Controllable(); cgroup.IsUncontrollable(err) {
		return c.observe(desired, err)
	} else if err != nil {
		return c.failed(desired.Rule, desired.Reason, "", err, now)
	}

	owner, ours, err := c.owner()

	switch {
	case err != nil:
		return c.failed(desired.Rule, desired.Reason, "", err, now)
	case ours:
		return nil
	}

	limited, write := owner.Limit(desired.CeilingMillicores, desired.FloorMillicores)
	if !write {
		c.err = nil

		if c.status.State != resources.CeilingOwnerLower || c.status.OwnerLimit != owner.String() {
			c.leftTo(owner, desired, resources.CeilingOwnerLower)
		}

		return nil
	}

	journal := cgroup.Journal{
		Target: c.id, Rule: desired.Rule, Reason: desired.Reason,
		OwnerLimit: owner.String(), OwnerBurstUsec: c.dir.ReadBurst(), Applied: limited.String(),
		Since: desired.SinceClock, HoldUntil: desired.HoldUntilClock, BootID: c.node.BootID,
	}

	readBack, err := c.dir.Apply(journal)

	switch {
	case errors.Is(err, cgroup.ErrChanged):
		return c.conceded(desired, owner.String(), now)
	case err != nil:
		return c.failed(desired.Rule, desired.Reason, owner.String(), err, now)
	}

	c.inForce(desired, journal, readBack)

	return []Action{c.action(resources.ActionApply, desired.Rule, desired.Reason, owner.String(), readBack.String(), nil)}
}

// owner reads the owner's cpu.max; ours tells that a ceiling was found in force, and is taken over.
func (c *Ceiling) owner() (value cgroup.CPUMax, ours bool, err error) {
	journal, err := c.dir.ReadJournal()

	switch {
	case errors.Is(err, cgroup.ErrNoJournal):
		value, err = c.dir.ReadCPUMax()

		return value, false, err
	case errors.Is(err, cgroup.ErrBadJournal):
		// A ceiling of ours may be in force: taken for the owner's value, it would stay for good.
		return value, false, fmt.Errorf("cgroup %s: %w: the owner's cpu.max is unknown, so nothing is written; "+
			"set cpu.max to what it shall be and remove the xattr trusted.spegelguard from the cgroup", c.target.Cgroup, err)
	case err != nil:
		return value, false, err
	}

	if value, err = c.dir.ReadCPUMax(); err != nil {
		return value, false, err
	}

	if journal.Ours(value) {
		c.adopt(journal)

		return value, true, nil
	}

	// It was never put in force, or somebody else wrote over it: what it still holds is the burst.
	value, err = c.dir.Restore(journal)

	return value, false, err
}

// leftTo shows the owner's value in force in place of a ceiling.
func (c *Ceiling) leftTo(owner cgroup.CPUMax, desired *resources.DesiredCeilingSpec, state string) {
	c.status = c.newStatus(desired, state)
	c.status.OwnerLimit, c.status.ReadBack = owner.String(), owner.String()
}

func (c *Ceiling) inForce(desired *resources.DesiredCeilingSpec, journal cgroup.Journal, readBack cgroup.CPUMax) {
	c.err, c.journal = nil, &journal
	c.status = c.newStatus(desired, resources.CeilingApplied)
	c.status.AppliedAt = time.Now().UTC()
	c.status.OwnerLimit, c.status.Applied, c.status.ReadBack = journal.OwnerLimit, journal.Applied, readBack.String()
}

// watch looks after a ceiling in force.
func (c *Ceiling) watch(desired *resources.DesiredCeilingSpec, now time.Duration) []Action {
	current, err := c.dir.ReadCPUMax()
	if err != nil {
		return c.failed(desired.Rule, desired.Reason, c.status.ReadBack, err, now)
	}

	if !c.journal.Ours(current) {
		return c.conceded(desired, c.journal.Applied, now)
	}

	c.status.ReadBack = current.String()

	return c.adjust(desired, now)
}

// conceded: somebody else wrote cpu.max. That is the owner's new will: it becomes the one to restore.
// The lower of the two is applied again, ever more slowly, or not at all in this hold.
func (c *Ceiling) conceded(desired *resources.DesiredCeilingSpec, before string, now time.Duration) []Action {
	c.externalChanges++

	// Forget the old value first: were we to end here, a restart must not restore it. Restore leaves a
	// external cpu.max alone and puts back the burst.
	if c.journal != nil {
		if _, err := c.dir.Restore(*c.journal); err != nil {
			return c.failed(desired.Rule, desired.Reason, before, err, now)
		}
	}

	current, err := c.dir.ReadCPUMax()
	if err != nil {
		return c.failed(desired.Rule, desired.Reason, before, err, now)
	}

	reason := "cpu.max was changed by somebody else: taken as the owner's new value; the lower one is applied again"

	if desired.Conflict == string(config.ConflictYield) {
		c.yielded = desired.SinceClock
		reason = "cpu.max was changed by somebody else: taken as the owner's new value, and left in force for the rest of the hold"
	} else {
		c.backOff(now)
	}

	c.err, c.journal = nil, nil
	c.leftTo(current, desired, resources.CeilingYielded)

	return []Action{c.action(resources.ActionExternalChange, desired.Rule, reason, before, current.String(), nil)}
}

// settled: what is desired is in force, whatever failed before.
func (c *Ceiling) settled() {
	c.err = nil
	c.status.State, c.status.LastError = resources.CeilingApplied, ""
}

// adjust follows a desired ceiling that changed: a step, or another configuration.
func (c *Ceiling) adjust(desired *resources.DesiredCeilingSpec, now time.Duration) []Action {
	owner, err := cgroup.ParseCPUMax(c.journal.OwnerLimit)
	if err != nil {
		return c.failed(desired.Rule, desired.Reason, c.journal.Applied, err, now)
	}

	next, before := *c.journal, c.journal.Applied
	next.Rule, next.Reason, next.Since, next.HoldUntil = desired.Rule, desired.Reason, desired.SinceClock, desired.HoldUntilClock

	limited, write := owner.Limit(desired.CeilingMillicores, desired.FloorMillicores)

	switch {
	case limited.String() == before && next == *c.journal:
		c.settled()

		return nil
	case limited.String() == before:
		if err := c.dir.WriteJournal(next); err != nil {
			return c.failed(desired.Rule, desired.Reason, before, err, now)
		}

		c.journal = &next
		c.settled()
		c.status.Rule, c.status.SinceClock, c.status.HoldUntilClock = next.Rule, next.Since, next.HoldUntil

		return nil
	case !write:
		lifted := c.Release(resources.ActionRelease, "the owner's own limit is as low")
		if c.journal == nil {
			c.leftTo(owner, desired, resources.CeilingOwnerLower)
		}

		return lifted
	}

	next.Previous, next.Applied = before, limited.String()

	readBack, err := c.dir.Apply(next)

	switch {
	case errors.Is(err, cgroup.ErrChanged):
		c.journal = nil // taken back by Apply

		return c.conceded(desired, before, now)
	case err != nil:
		return c.failed(desired.Rule, desired.Reason, before, err, now)
	}

	next.Previous = ""
	c.inForce(desired, next, readBack)

	return []Action{c.action(resources.ActionAdjust, desired.Rule, desired.Reason, before, readBack.String(), nil)}
}

// Release takes the ceiling back, if there is one. One that cannot be is still InForce afterwards.
func (c *Ceiling) Release(kind, reason string) []Action {
	if c.journal == nil || c.dir == nil {
		return nil
	}

	journal := *c.journal

	restored, err := c.dir.Restore(journal)
	if err != nil {
		return c.failed(journal.Rule, reason, journal.Applied, err, boottime.Now())
	}

	c.journal, c.err = nil, nil
	c.status = resources.CeilingStatusSpec{}
	c.retryAt, c.backoff = 0, 0

	return []Action{c.action(kind, journal.Rule, reason, journal.Applied, restored.String(), nil)}
}
