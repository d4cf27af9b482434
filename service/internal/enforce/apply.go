// SPDX-License-Identifier: MPL-2.0

//go:build linux

package enforce

import (
	"errors"
	"fmt"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/service/internal/decide"
)

// apply writes a ceiling where none is in force.
func (c *Ceiling) apply(desired *decide.DesiredCeiling, now time.Duration) []Action {
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

	limited, write := owner.Limit(desired.Millicores, desired.FloorMillicores)
	if !write {
		c.err = nil

		if c.status.State != StateOwnerLower || c.status.OwnerLimit != owner.String() {
			c.showOwner(owner, desired, StateOwnerLower)
		}

		return nil
	}

	burst, err := c.dir.ReadBurst()
	if err != nil {
		return c.failed(desired.Rule, desired.Reason, owner.String(), err, now)
	}

	journal := cgroup.Journal{
		Target: c.target.ID, Rule: desired.Rule, Reason: desired.Reason,
		OwnerLimit: owner.String(), OwnerBurstUsec: burst, Applied: limited.String(),
		Since: desired.Since, HoldUntil: desired.Until, BootID: c.node.BootID,
	}

	readBack, err := c.dir.Apply(journal)

	switch {
	case errors.Is(err, cgroup.ErrChanged):
		// The next call applies it over a limit that the kernel doubled meanwhile.
		if current, err := c.dir.ReadCPUMax(); err == nil && journal.Owners(current) {
			return nil
		}

		return c.externalChange(desired, owner.String(), now)
	case err != nil:
		return c.failed(desired.Rule, desired.Reason, owner.String(), err, now)
	}

	c.inForce(desired, journal, readBack)

	return []Action{c.action(ActionApply, desired.Rule, desired.Reason, owner.String(), readBack.String(), nil)}
}

// owner reads the owner's limit; ours reports that a ceiling was found in force and adopted instead.
func (c *Ceiling) owner() (value cgroup.CPUMax, ours bool, err error) {
	journal, err := c.dir.ReadJournal()

	switch {
	case errors.Is(err, cgroup.ErrNoJournal):
		value, err = c.dir.ReadCPUMax()

		return value, false, err
	case errors.Is(err, cgroup.ErrBadJournal):
		// A ceiling may be in force: taken for the owner's limit, it would stay for good.
		return value, false, fmt.Errorf("cgroup %s: %w: the owner's limit is unknown, so nothing is written; "+
			"restart the pod, or set cpu.max to the owner's limit and remove the xattr trusted.spegelguard from the cgroup", c.target.Cgroup, err)
	case err != nil:
		return value, false, err
	}

	if value, err = c.dir.ReadCPUMax(); err != nil {
		return value, false, err
	}

	if journal.Ours(value) {
		c.adopt(journal, value.String())

		return value, true, nil
	}

	// It was never applied, or changed externally: what the journal still restores is the burst.
	value, err = c.dir.Restore(journal)

	return value, false, err
}

// showOwner shows that the owner's limit is in force in place of a ceiling.
func (c *Ceiling) showOwner(owner cgroup.CPUMax, desired *decide.DesiredCeiling, state string) {
	c.status = c.newStatus(desired, state)
	c.status.OwnerLimit, c.status.ReadBack = owner.String(), owner.String()
}

// show shows the ceiling of the journal, which is in force. A write may have failed and left it.
func (c *Ceiling) show(current cgroup.CPUMax) {
	c.status.ReadBack = current.String()

	if c.status.AppliedAt == 0 {
		c.status.AppliedAt = boottime.Now()
		c.status.OwnerLimit, c.status.Applied = c.journal.OwnerLimit, c.journal.Applied
	}
}

// showNone shows that no ceiling is in force.
func (c *Ceiling) showNone() {
	c.status.Applied, c.status.ReadBack, c.status.AppliedAt, c.status.Adopted = "", "", 0, false
}

func (c *Ceiling) inForce(desired *decide.DesiredCeiling, journal cgroup.Journal, readBack cgroup.CPUMax) {
	c.err, c.journal = nil, &journal
	c.status = c.newStatus(desired, StateApplied)
	c.status.AppliedAt = boottime.Now()
	c.status.OwnerLimit, c.status.Applied, c.status.ReadBack = journal.OwnerLimit, journal.Applied, readBack.String()
}

// keep reads a ceiling in force back, and adjusts it.
func (c *Ceiling) keep(desired *decide.DesiredCeiling, now time.Duration) []Action {
	current, err := c.dir.ReadCPUMax()
	if err != nil {
		return c.failed(desired.Rule, desired.Reason, c.status.ReadBack, err, now)
	}

	if !c.journal.Ours(current) {
		return c.externalChange(desired, c.journal.Applied, now)
	}

	c.show(current)

	return c.adjust(desired, current, now)
}

// externalChange takes an external change of cpu.max for the owner's new limit, which a release restores from now on.
// The lower of the two is applied again after a back-off, or with conflict: yield not in this hold.
func (c *Ceiling) externalChange(desired *decide.DesiredCeiling, before string, now time.Duration) []Action {
	c.showNone()

	// The old limit is removed first: after a crash here a restart must not restore it. Restore leaves an external
	// cpu.max in force and restores the burst.
	if c.journal != nil {
		if _, err := c.dir.Restore(*c.journal); err != nil {
			return c.failed(desired.Rule, desired.Reason, before, err, now)
		}
	}

	// Without the journal it is not found again.
	c.externalChanges++

	current, err := c.dir.ReadCPUMax()
	if err != nil {
		return c.failed(desired.Rule, desired.Reason, before, err, now)
	}

	reason := "cpu.max was changed externally: it is the owner's limit now; the lower one is applied again"

	if desired.Yield {
		c.yielded = desired.Since
		reason = "cpu.max was changed externally: it is the owner's limit now, and stays in force for the rest of the hold"
	} else {
		c.backOff(now)
	}

	c.err, c.journal = nil, nil
	c.showOwner(current, desired, StateYielded)

	return []Action{c.action(ActionExternalChange, desired.Rule, reason, before, current.String(), nil)}
}

// settled: the desired ceiling is in force, whatever failed before.
func (c *Ceiling) settled() {
	c.err = nil
	c.status.State, c.status.LastError = StateApplied, ""
}

// renew takes the journal of the ceiling that is in force already.
func (c *Ceiling) renew(next cgroup.Journal) {
	c.journal = &next
	c.settled()
	c.status.Rule, c.status.Since, c.status.Until, c.status.Applied = next.Rule, next.Since, next.HoldUntil, next.Applied
}

// adjust follows a desired ceiling that changed. Current is the ceiling in force. After a crash during a write it may be either of two,
// and the journal has no place for a third one: one of the two is made the only one first.
func (c *Ceiling) adjust(desired *decide.DesiredCeiling, current cgroup.CPUMax, now time.Duration) []Action {
	owner, err := cgroup.ParseCPUMax(c.journal.OwnerLimit)
	if err != nil {
		return c.failed(desired.Rule, desired.Reason, c.journal.Applied, err, now)
	}

	burst, err := c.ownerBurst(current)
	if err != nil {
		return c.failed(desired.Rule, desired.Reason, current.String(), err, now)
	}

	// The journal of an adopted ceiling may have the id that its target had before.
	next, before := *c.journal, current.String()
	next.Target, next.OwnerBurstUsec = c.target.ID, burst
	next.Rule, next.Reason, next.Since, next.HoldUntil = desired.Rule, desired.Reason, desired.Since, desired.Until

	limited, write := owner.Limit(desired.Millicores, desired.FloorMillicores)
	inForce := current.Reads(limited.String())

	switch {
	case next.Previous != "":
		// Only the desired ceiling is known to respect the floor of now. Any other one is not written: the next call moves on from
		// the one in force.
		if !current.Reads(next.Applied) && next.Applied != limited.String() {
			next.Applied, next.Previous = next.Previous, next.Applied
		}

		return c.change(desired, next, before, now)
	case inForce && next == *c.journal:
		c.settled()

		return nil
	case inForce:
		if err := c.dir.WriteJournal(next); err != nil {
			return c.failed(desired.Rule, desired.Reason, before, err, now)
		}

		c.renew(next)

		return nil
	case !write:
		lifted := c.Release(ActionRelease, "the owner's limit is as low", now)
		if c.journal == nil {
			c.showOwner(owner, desired, StateOwnerLower)
		}

		return lifted
	}

	next.Previous, next.Applied = next.Applied, limited.String()

	return c.change(desired, next, before, now)
}

// ownerBurst returns the owner's burst under the ceiling in force: the journal's, or one that was set beside the ceiling.
func (c *Ceiling) ownerBurst(current cgroup.CPUMax) (uint64, error) {
	burst, err := c.dir.ReadBurst()
	if err != nil {
		return 0, err
	}

	owners := c.journal.OwnerBurst(current, burst)
	if owners == c.journal.OwnerBurstUsec {
		return owners, nil
	}

	// The kernel may have doubled both in between.
	again, err := c.dir.ReadCPUMax()
	if err == nil && again != current {
		owners = c.journal.OwnerBurstUsec
	}

	return owners, err
}

// change writes the ceiling of a journal in place of the one in force.
func (c *Ceiling) change(desired *decide.DesiredCeiling, next cgroup.Journal, before string, now time.Duration) []Action {
	readBack, err := c.dir.Apply(next)

	switch {
	case errors.Is(err, cgroup.ErrChanged):
		c.journal = nil // restored by Apply

		return c.externalChange(desired, before, now)
	case err != nil:
		return c.failed(desired.Rule, desired.Reason, before, err, now)
	}

	next.Previous = ""

	if value, err := cgroup.ParseCPUMax(before); err == nil && value.Reads(readBack.String()) {
		c.renew(next)
		c.status.ReadBack = readBack.String()

		return nil
	}

	c.inForce(desired, next, readBack)

	return []Action{c.action(ActionAdjust, desired.Rule, desired.Reason, before, readBack.String(), nil)}
}

// Release restores the owner's limit, if a ceiling is in force. When that fails, it is still InForce afterwards.
func (c *Ceiling) Release(kind, reason string, now time.Duration) (actions []Action) {
	defer func() {
		if p := recover(); p != nil {
			actions = c.panicked("release the ceiling of "+c.target.ID, p, now)
		}
	}()

	if c.journal == nil || c.dir == nil {
		return nil
	}

	journal := *c.journal
	before := journal.Applied

	// After a crash during a write it may be the ceiling before it.
	if current, err := c.dir.ReadCPUMax(); err == nil {
		before = current.String()

		if journal.Ours(current) {
			c.show(current)
		} else {
			c.showNone()
		}
	}

	restored, err := c.dir.Restore(journal)
	if err != nil {
		return c.failed(journal.Rule, reason, before, err, now)
	}

	c.journal, c.err = nil, nil
	c.status = Status{}
	c.retryAt, c.backoff = 0, 0

	return []Action{c.action(kind, journal.Rule, reason, before, restored.String(), nil)}
}

// Stop closes the ceiling because the service ends. It is released before if release is set, or if its hold is over: then
// no later process would continue it.
func (c *Ceiling) Stop(release bool) []Action {
	var actions []Action

	if now := boottime.Now(); release || c.journal != nil && now >= c.journal.HoldUntil {
		c.err = nil // nothing tries again: the last lines of the log name a ceiling that stays, also when that is not new

		actions = c.Release(ActionRelease, "the service stopped", now)
	}

	c.Close()

	return actions
}
