// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package enforce moves cpu.max towards the desired ceiling and restores the owner's limit. Only this package writes
// to a target. It decides nothing about the workload: see package decide.
package enforce

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/internal/task"
	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/service/internal/decide"
)

// Back-off after a failure, and before a ceiling is applied again over an external change.
const (
	minBackoff = time.Second
	maxBackoff = time.Minute
)

// CheckInterval is how often a cgroup without a desired ceiling is checked for whether one could be written.
const CheckInterval = 10 * time.Second

// Ceiling is the state machine of one container's ceiling. It is for one goroutine. Make one with New.
type Ceiling struct {
	node   Node
	target Target

	dir     Cgroup
	journal *cgroup.Journal
	status  Status
	err     error

	// externalChanges counts those of cpu.max; yielded is the Since of the hold that yielded to one.
	externalChanges uint64
	yielded         time.Duration
	// retryAt ends a back-off, checkAt is the next check of a cgroup without a ceiling, and adoptBy ends the wait of an
	// adopted ceiling for its first desired one.
	retryAt time.Duration
	backoff time.Duration
	checkAt time.Duration
	adoptBy time.Duration
	// releasing: the last step was a release. A back-off after another step delays no release.
	releasing bool
}

// New opens the container's cgroup and keeps it open, so that no other one can be written to. When that fails, each
// Reconcile tries again.
func New(node Node, target Target) *Ceiling {
	c := &Ceiling{node: node, target: target}
	c.open()

	return c
}

func (c *Ceiling) open() {
	dir, err := c.node.Open(c.target.Cgroup)
	if err != nil {
		c.err = err

		return
	}

	if dir.ID().Inode != c.target.CgroupInode {
		dir.Close() //nolint:errcheck // not ours

		c.err = fmt.Errorf("cgroup %s belongs to another container now", c.target.Cgroup)

		return
	}

	c.dir = dir
	c.err = dir.Controllable()
}

// Close closes the cgroup. A ceiling in force stays.
func (c *Ceiling) Close() {
	if c.dir != nil {
		c.dir.Close() //nolint:errcheck // nothing to flush
	}
}

// Target the ceiling is for.
func (c *Ceiling) Target() Target { return c.target }

// Status is the ceiling as the kernel has it; its State is empty without one.
func (c *Ceiling) Status() Status { return c.status }

// ErrInForce is part of an error that keeps a ceiling in force.
var ErrInForce = errors.New("a ceiling stays in force")

// Err is what prevents a ceiling from being written or released; nil when nothing does.
func (c *Ceiling) Err() error {
	if c.err != nil && c.status.AppliedAt != 0 {
		return fmt.Errorf("%w: %w", c.err, ErrInForce)
	}

	return c.err
}

// InForce reports whether there is a ceiling, or another change to be restored.
func (c *Ceiling) InForce() bool { return c.journal != nil }

// Reconcile moves cpu.max towards the desired ceiling. nil: none was decided yet. Nothing new is
// written, and an adopted ceiling waits for it until its grace is over. A panic is a failure as any other.
func (c *Ceiling) Reconcile(desired *decide.DesiredCeiling, now time.Duration) (actions []Action) {
	defer func() {
		if p := recover(); p != nil {
			actions = c.panicked("write the ceiling of "+c.target.ID, p, now)
		}
	}()

	if c.dir == nil {
		c.open()
	}

	reason := "no ceiling is desired"

	if desired != nil {
		c.adoptBy = 0
	}

	if desired != nil && desired.None() {
		reason = cmp.Or(desired.Reason, reason)

		// A person's release does not wait for a back-off. With no ceiling in force there is nothing to release.
		if desired.Rule == decide.RuleOverride && c.journal != nil {
			c.retryAt = 0
		}

		desired = nil
	}

	switch {
	case c.dir == nil:
		return nil
	case desired == nil && c.journal == nil:
		c.status = Status{}
		c.check(now)

		return nil
	}

	yields := desired != nil && desired.Yield && (desired.Since == c.yielded || desired.Since == desired.YieldedSince)
	ending := desired != nil && !desired.Observe && c.node.Ending(c.target.PID, c.target.PIDStartTime)
	releasing := c.journal != nil && (ending || desired == nil || desired.Observe || desired.Probing || yields)

	if now < c.retryAt && (!releasing || c.releasing) || desired == nil && now < c.adoptBy {
		return nil
	}

	c.releasing = releasing

	switch {
	case desired == nil:
		return c.Release(ActionRelease, reason, now)
	case desired.Observe:
		return append(c.Release(ActionRelease, "mode is observe", now), c.observe(desired, nil)...)
	case ending:
		// Throttled, it could not shut down within its grace period.
		return c.end(desired, now)
	case desired.Probing:
		return c.Release(ActionProbe, "the hold is over: the demand is measured without the ceiling", now)
	case yields:
		return c.yield(desired, now)
	case c.journal != nil:
		return c.keep(desired, now)
	default:
		return c.apply(desired, now)
	}
}

// check finds out whether a ceiling could be written, before one is desired, and whether there is one that should not
// be.
func (c *Ceiling) check(now time.Duration) {
	if now < c.checkAt {
		return
	}

	c.err, c.checkAt = c.dir.Controllable(), now+CheckInterval

	if errors.Is(c.err, cgroup.ErrGone) {
		c.err = nil // the target is about to go
	}

	// A ceiling that is not desired is released, whoever left it.
	switch journal, err := c.dir.ReadJournal(); {
	case err == nil:
		c.journal = &journal
	case !noJournal(err) && c.err == nil:
		c.err = err
	}
}

// noJournal reports whether there is none, rather than one that cannot be read.
func noJournal(err error) bool {
	return errors.Is(err, cgroup.ErrNoJournal) || errors.Is(err, cgroup.ErrGone)
}

// observe reports once what would be done; err is why it is not done in mode enforce.
func (c *Ceiling) observe(desired *decide.DesiredCeiling, err error) []Action {
	if c.journal != nil {
		return nil // it could not be released
	}

	c.err = err

	status := c.newStatus(desired, StateObserved)
	if err != nil {
		status.LastError = err.Error()
	}

	if c.status.State == status.State && c.status.Since == status.Since && c.status.LastError == status.LastError {
		return nil
	}

	c.status = status

	if err != nil {
		c.node.failed(err)
	}

	return []Action{c.action(ActionObserve, desired.Rule, desired.Reason, "", "", err)}
}

// end releases the ceiling of a container that terminates.
func (c *Ceiling) end(desired *decide.DesiredCeiling, now time.Duration) []Action {
	actions := c.Release(ActionRelease, "the container terminates", now)

	if c.journal == nil {
		c.status = c.newStatus(desired, StateTerminating)
	}

	return actions
}

// yield leaves an external change in force and shows it. A ceiling in force is that of an override which prevailed over the hold
// meanwhile, or was written before ceiling.conflict became yield.
func (c *Ceiling) yield(desired *decide.DesiredCeiling, now time.Duration) []Action {
	c.yielded = desired.Since

	actions := c.Release(ActionRelease, "the hold yielded to an external change of cpu.max", now)
	if c.journal != nil {
		return actions
	}

	owner, ours, err := c.owner()

	switch {
	case err != nil:
		return append(actions, c.failed(desired.Rule, desired.Reason, "", err, now)...)
	case ours:
		return actions // the next call releases it
	}

	if c.err = nil; c.status.State != StateYielded || c.status.Since != desired.Since {
		c.status = c.newStatus(desired, StateYielded)
	}

	c.status.OwnerLimit, c.status.ReadBack = owner.String(), owner.String()

	return actions
}

// gone: the cgroup was removed, and with it the ceiling and the journal. It returns the end of a ceiling that was in force.
func (c *Ceiling) gone(before string) []Action {
	journal := c.journal
	c.journal, c.err = nil, nil
	c.status = Status{}

	if journal == nil {
		return nil
	}

	return []Action{c.action(ActionRelease, journal.Rule, "the container's cgroup is gone", before, "", nil)}
}

// failed records a failure, starts a back-off and returns an action unless the same failure was returned before.
func (c *Ceiling) failed(rule, reason, before string, err error, now time.Duration) []Action {
	if errors.Is(err, cgroup.ErrGone) {
		return c.gone(before)
	}

	// The journal on the cgroup is what there is to restore; one that cannot be read now is as it was.
	switch journal, journalErr := c.dir.ReadJournal(); {
	case journalErr == nil:
		c.journal = &journal
	case noJournal(journalErr):
		c.journal = nil
		c.showNone() // a write that failed was undone
	}

	c.node.failed(err)

	repeated := c.err != nil && c.err.Error() == err.Error()

	c.err = err
	c.status.State, c.status.LastError = StateFailed, err.Error()
	c.status.Rule, c.status.ContainerID = rule, c.target.ContainerID
	c.backOff(now)

	if repeated {
		return nil
	}

	return []Action{c.action(ActionFail, rule, reason, before, "", err)}
}

// panicked records a panic as a failure.
func (c *Ceiling) panicked(what string, p any, now time.Duration) []Action {
	err := task.Recovered(what, p)

	if c.dir == nil {
		c.err = err

		return nil
	}

	rule := c.status.Rule
	if c.journal != nil {
		rule = c.journal.Rule
	}

	var actions []Action

	failure := task.Step("read the journal of "+c.target.ID, func() error {
		actions = c.failed(rule, "", c.status.ReadBack, err, now)

		return nil
	})
	if failure != nil {
		c.err = err // the journal that is known stays
		c.backOff(now)
	}

	return actions
}

func (c *Ceiling) backOff(now time.Duration) {
	c.backoff = min(maxBackoff, max(minBackoff, 2*c.backoff))
	c.retryAt = now + c.backoff
}

func (c *Ceiling) newStatus(desired *decide.DesiredCeiling, state string) Status {
	return Status{
		State: state, ContainerID: c.target.ContainerID, Rule: desired.Rule, ExternalChanges: c.externalChanges,
		Since: desired.Since, Until: desired.Until,
	}
}

func (c *Ceiling) action(kind, rule, reason, before, after string, err error) Action {
	return Action{
		At: boottime.Now(), Kind: kind, Target: c.target.ID, ContainerID: c.target.ContainerID, Cgroup: c.target.Cgroup,
		Rule: rule, Reason: reason, Before: before, After: after, Err: err,
	}
}

// adopt continues the ceiling that is in force on the cgroup. After a crash during a write that may be journal.Previous.
func (c *Ceiling) adopt(journal cgroup.Journal, readBack string) {
	c.err, c.journal = nil, &journal
	c.status = Status{
		State: StateApplied, ContainerID: c.target.ContainerID, Rule: journal.Rule, AppliedAt: journal.Since,
		OwnerLimit: journal.OwnerLimit, Applied: journal.Applied, ReadBack: readBack, ExternalChanges: c.externalChanges,
		Adopted: true, Since: journal.Since, Until: journal.HoldUntil,
	}
}
