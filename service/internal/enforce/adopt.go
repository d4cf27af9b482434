//go:build linux

package enforce

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// adoptGrace is how long a ceiling left by an earlier process waits for its target to be found again.
const adoptGrace = time.Minute

// Adopted are what an earlier process left on the node's cgroups.
type Adopted struct {
	// Ceilings in force whose hold is not over, by the path of the cgroup.
	Ceilings map[string]*Ceiling
	// Holds of all journals whose hold is not over, by workload.
	Holds map[string]policy.Hold
	// Foreign are the Since of holds whose ceiling somebody else wrote over meanwhile, by workload.
	Foreign map[string]time.Duration
	// Actions that were taken.
	Actions []Action
}

// AdoptAll looks for journals. A ceiling that is in force goes on when its hold does; everything else is
// taken back: when the hold is over, the mode is observe, or the earlier process never came to write it.
// It must run before anything else is written.
//
// The error is about what could not be taken over and is left as it is.
func AdoptAll(node Node, mode config.Mode, logger *zap.Logger) (Adopted, error) {
	left := Adopted{Ceilings: map[string]*Ceiling{}, Holds: map[string]policy.Hold{}, Foreign: map[string]time.Duration{}}

	if err := cgroup.CheckRoot(node.Cgroup); err != nil {
		return left, nil //nolint:nilerr // no hierarchy, no ceilings; the target controller says so
	}

	paths, err := cgroup.FindJournals(node.Cgroup)
	if err != nil {
		return left, err
	}

	var errs error

	for _, path := range paths {
		ceiling, err := openOrphan(node, path)
		if errors.Is(err, cgroup.ErrGone) {
			continue
		}

		if err == nil {
			err = left.take(ceiling, mode, logger)
		}

		errs = errors.Join(errs, err)
	}

	return left, errs
}

// take decides about one.
func (l *Adopted) take(c *Ceiling, mode config.Mode, logger *zap.Logger) error {
	journal := *c.journal
	logger = logger.With(zap.String("mode", string(mode)), zap.String("target", journal.Target), zap.String("cgroup", c.target.Cgroup),
		zap.String("rule", journal.Rule), zap.String("original", journal.OwnerLimit), zap.String("applied", journal.Applied))

	current, err := c.dir.ReadCPUMax()
	if err != nil {
		c.Close()

		return err
	}

	held := mode != config.ModeObserve && !over(journal, c.node.BootID, boottime.Now())

	if held {
		l.Holds[journal.Target] = policy.Hold{
			Rule: journal.Rule, Since: journal.Since, Until: journal.HoldUntil, Millicores: int64(math.Round(cgroup.Cores(journal.Applied) * 1000)),
		}

		if !journal.Ours(current) && current.String() != journal.OwnerLimit {
			l.Foreign[journal.Target] = journal.Since
			l.Actions = append(l.Actions, c.action(resources.ActionExternalChange, journal.Rule,
				"cpu.max was changed by somebody else while no guard was at work: taken as the owner's new value",
				journal.Applied, current.String(), nil))
		}
	}

	if held && journal.Ours(current) {
		c.adoptBy = boottime.Now() + adoptGrace
		l.Ceilings[c.target.Cgroup] = c
		l.Actions = append(l.Actions, c.action(resources.ActionAdopt, journal.Rule, "left by an earlier process, its hold is not over",
			current.String(), current.String(), nil))

		logger.Info("ceiling of an earlier process taken over", zap.Duration("holdLeft", journal.HoldUntil-boottime.Now()))

		return nil
	}

	l.Actions = append(l.Actions, c.Release(resources.ActionRelease, "left by an earlier process")...)

	if c.InForce() {
		l.Ceilings[c.target.Cgroup] = c // tried again

		return c.err
	}

	c.Close()
	logger.Info("ceiling of an earlier process taken back", zap.String("found", current.String()))

	return nil
}

// over tells whether the hold a journal tells of has ended.
func over(journal cgroup.Journal, bootID string, now time.Duration) bool {
	return strings.TrimSpace(journal.BootID) != strings.TrimSpace(bootID) || now >= journal.HoldUntil
}

func openOrphan(node Node, path string) (*Ceiling, error) {
	dir, err := cgroup.Open(node.Cgroup, path)
	if err != nil {
		return nil, err
	}

	journal, err := dir.ReadJournal()
	if err != nil {
		dir.Close() //nolint:errcheck // unused

		return nil, fmt.Errorf("error taking over cgroup %s (its cpu.max stays as it is): %w", path, err)
	}

	return &Ceiling{
		node: node, id: journal.Target, dir: dir, journal: &journal,
		target: resources.TargetSpec{Cgroup: path, CgroupInode: dir.ID().Inode},
	}, nil
}

// Adopt goes on with a leftover: its target was found.
func (c *Ceiling) Adopt(left *Ceiling) {
	if left.journal == nil || left.dir.ID().Inode != c.target.CgroupInode {
		left.Close() // of a cgroup that is gone

		return
	}

	c.Close()
	c.dir, left.dir = left.dir, nil
	c.adoptBy = boottime.Now() + adoptGrace
	c.adopt(*left.journal)
}

// Expire takes back a leftover that no target claimed: after a grace, or when its hold is over.
func (c *Ceiling) Expire(now time.Duration) []Action {
	if c.journal == nil || now < c.retryAt || now < c.adoptBy && now < c.journal.HoldUntil {
		return nil
	}

	return c.Release(resources.ActionRelease, "its target was not found again")
}
