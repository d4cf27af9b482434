//go:build linux

// Package enforce is everything between a desired ceiling and cpu.max: when it is written, when it is
// taken back, and what is done about somebody else's value. Only this package writes to a target.
package enforce

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/internal/process"
	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/host"
)

// Back-off of what failed, and of putting the ceiling back over somebody else's value.
const (
	minBackoff = time.Second
	maxBackoff = time.Minute
)

// CheckInterval is how soon it is noticed, while no ceiling is desired, that one could not be written.
const CheckInterval = 10 * time.Second

// Node is where ceilings are written.
type Node struct {
	host.Host

	// Failed is told of each attempt to write or to take back a ceiling that failed; nil is not.
	Failed func(error)
}

func (n Node) failed(err error) {
	if n.Failed != nil {
		n.Failed(err)
	}
}

// Action is something done to a target, or decided not to be.
type Action = resources.GuardActionSpec

// Ceiling is one container's.
type Ceiling struct {
	node   Node
	id     string
	target resources.TargetSpec

	dir     *cgroup.Dir
	journal *cgroup.Journal
	status  resources.CeilingStatusSpec
	err     error

	// external counts somebody else's writes; yielded is the SinceClock of the hold that gave way to one.
	externalChanges uint64
	yielded         time.Duration
	// retryAt ends a back-off, probeAt is when it is asked again whether a ceiling could be written, and
	// until adoptBy an adopted ceiling waits for the policy's first word.
	retryAt time.Duration
	backoff time.Duration
	probeAt time.Duration
	adoptBy time.Duration
}

// New keeps the container's cgroup open: from here on no other one can be hit. A cgroup that cannot
// be opened is tried again at each Reconcile.
func New(node Node, id string, target resources.TargetSpec) *Ceiling {
	c := &Ceiling{node: node, id: id, target: target}
	c.open()

	return c
}

func (c *Ceiling) open() {
	dir, err := cgroup.Open(c.node.Cgroup, c.target.Cgroup)
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
	c.err = dir.Controllable()
}

// Close gives the cgroup up. A ceiling in force stays there.
func (c *Ceiling) Close() {
	if c.dir != nil {
		c.dir.Close() //nolint:errcheck // nothing to flush
	}
}

// Target the ceiling is for.
func (c *Ceiling) Target() resources.TargetSpec { return c.target }

// Status is what was done and what the kernel said; its State is empty when there is nothing to say.
func (c *Ceiling) Status() resources.CeilingStatusSpec { return c.status }

// Err is what keeps a ceiling from being written or taken back, or nil.
func (c *Ceiling) Err() error { return c.err }

// InForce tells that there is a ceiling, or something else to be taken back.
func (c *Ceiling) InForce() bool { return c.journal != nil }

// Reconcile moves cpu.max towards the desired ceiling. nil is a desired ceiling that is not known yet: nothing new is
// written, and an adopted ceiling waits for it until its grace is over.
func (c *Ceiling) Reconcile(desired *resources.DesiredCeilingSpec, now time.Duration) []Action {
	if c.dir == nil {
		c.open()
	}

	reason := "no ceiling is desired"

	if desired != nil {
		c.adoptBy = 0
	}

	if desired != nil && desired.None() {
		reason = cmp.Or(desired.Reason, reason)

		// A person's instruction does not wait for a back-off.
		if desired.Rule == resources.RuleOverride {
			c.retryAt = 0
		}

		desired = nil
	}

	switch {
	case c.dir == nil:
		return nil
	case desired == nil && c.journal == nil:
		c.status = resources.CeilingStatusSpec{}
		c.probe(now)

		return nil
	case now < c.retryAt, desired == nil && now < c.adoptBy:
		return nil
	case desired == nil:
		return c.Release(resources.ActionRelease, reason)
	case desired.Mode == string(config.ModeObserve):
		return append(c.Release(resources.ActionRelease, "mode is observe"), c.observe(desired, nil)...)
	case process.Ending(c.node.Proc, int(c.target.PID), c.target.PIDStartTime):
		// Throttled, it could not shut down within its grace period.
		return c.letGo(desired)
	case desired.Probing:
		return c.Release(resources.ActionProbe, "the hold is over and the workload is throttled")
	case desired.Conflict == string(config.ConflictYield) && (desired.SinceClock == c.yielded || desired.SinceClock == desired.YieldedClock):
		c.yield(desired)

		return nil
	case c.journal != nil:
		return c.watch(desired, now)
	default:
		return c.apply(desired, now)
	}
}

// probe learns whether a ceiling could be written, before one is needed, and whether one is there that should not be.
func (c *Ceiling) probe(now time.Duration) {
	if now < c.probeAt {
		return
	}

	c.err, c.probeAt = c.dir.Controllable(), now+CheckInterval

	if errors.Is(c.err, cgroup.ErrGone) {
		c.err = nil // the target is about to go
	}

	// Whoever left it: a ceiling that nobody wants is taken back.
	if journal, err := c.dir.ReadJournal(); err == nil {
		c.journal = &journal
	}
}

// observe says what would be done, once; err is why it is not done in mode enforce.
func (c *Ceiling) observe(desired *resources.DesiredCeilingSpec, err error) []Action {
	if c.journal != nil {
		return nil // it could not be taken back
	}

	c.err = err

	status := c.newStatus(desired, resources.CeilingObserved)
	if err != nil {
		status.LastError = err.Error()
	}

	if c.status.State == status.State && c.status.SinceClock == status.SinceClock && c.status.LastError == status.LastError {
		return nil
	}

	c.status = status

	if err != nil {
		c.node.failed(err)
	}

	return []Action{c.action(resources.ActionObserve, desired.Rule, desired.Reason, "", "", err)}
}

// letGo lifts the ceiling of a container that ends.
func (c *Ceiling) letGo(desired *resources.DesiredCeilingSpec) []Action {
	actions := c.Release(resources.ActionRelease, "the container terminates")

	if c.journal == nil {
		c.status = c.newStatus(desired, resources.CeilingTerminating)
	}

	return actions
}

// yield leaves somebody else's value in force, and shows it.
func (c *Ceiling) yield(desired *resources.DesiredCeilingSpec) {
	c.yielded = desired.SinceClock

	current, err := c.dir.ReadCPUMax()
	if err != nil {
		return // gone: the target is about to go
	}

	if c.status.State != resources.CeilingYielded || c.status.SinceClock != desired.SinceClock {
		c.status = c.newStatus(desired, resources.CeilingYielded)
	}

	c.status.OwnerLimit, c.status.ReadBack, c.status.Applied = current.String(), current.String(), ""
}

// gone: the cgroup took the ceiling and the journal with it.
func (c *Ceiling) gone() {
	c.journal, c.err = nil, nil
	c.status = resources.CeilingStatusSpec{}
}

// failed is said once, and tried again ever more slowly.
func (c *Ceiling) failed(rule, reason, before string, err error, now time.Duration) []Action {
	// What is on the cgroup is what there is to take back.
	c.journal = nil

	if journal, journalErr := c.dir.ReadJournal(); journalErr == nil {
		c.journal = &journal
	}

	if errors.Is(err, cgroup.ErrGone) {
		c.gone()

		return nil
	}

	c.node.failed(err)

	repeated := c.err != nil && c.err.Error() == err.Error()

	c.err = err
	c.status.State, c.status.LastError = resources.CeilingFailed, err.Error()
	c.status.Rule, c.status.ContainerID = rule, c.target.ContainerID
	c.backOff(now)

	if repeated {
		return nil
	}

	return []Action{c.action(resources.ActionFail, rule, reason, before, "", err)}
}

func (c *Ceiling) backOff(now time.Duration) {
	c.backoff = min(maxBackoff, max(minBackoff, 2*c.backoff))
	c.retryAt = now + c.backoff
}

func (c *Ceiling) newStatus(desired *resources.DesiredCeilingSpec, state string) resources.CeilingStatusSpec {
	return resources.CeilingStatusSpec{
		State: state, ContainerID: c.target.ContainerID, Rule: desired.Rule, ExternalChanges: c.externalChanges,
		SinceClock: desired.SinceClock, HoldUntilClock: desired.HoldUntilClock,
	}
}

func (c *Ceiling) action(kind, rule, reason, before, after string, err error) Action {
	action := Action{
		At: time.Now().UTC(), Action: kind, Target: c.id, ContainerID: c.target.ContainerID, Cgroup: c.target.Cgroup,
		Rule: rule, Reason: reason, Before: before, After: after,
	}

	if err != nil {
		action.Error = err.Error()
	}

	return action
}

// takeOver takes the ceiling on the cgroup for what it is: one of ours, in force.
func (c *Ceiling) adopt(journal cgroup.Journal) {
	c.err, c.journal = nil, &journal
	c.status = resources.CeilingStatusSpec{
		State: resources.CeilingApplied, ContainerID: c.target.ContainerID, Rule: journal.Rule, AppliedAt: boottime.Wall(journal.Since),
		OwnerLimit: journal.OwnerLimit, Applied: journal.Applied, ReadBack: journal.Applied, ExternalChanges: c.externalChanges,
		Adopted: true, SinceClock: journal.Since, HoldUntilClock: journal.HoldUntil,
	}
}
