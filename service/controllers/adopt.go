//go:build linux

package controllers

import (
	"errors"
	"fmt"
	"math"
	"time"

	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// orphanGrace is how long a ceiling left by an earlier process waits for its target to be found again.
const orphanGrace = time.Minute

// Adopt looks for ceilings that an earlier process left and takes each over, or takes it back when
// its hold is over or the mode is observe. It must run before anything else is written.
//
// It returns the holds to go on with, by workload.
func (c *CeilingController) Adopt(cfg config.Config, logger *zap.Logger) (map[string]policy.Hold, error) {
	logger = logger.With(zap.String("mode", string(cfg.Mode)))
	c.orphans = map[string]*ceiling{}
	holds := map[string]policy.Hold{}

	if err := cgroup.CheckRoot(c.Paths.Cgroup); err != nil {
		return holds, nil //nolint:nilerr // no hierarchy, no ceilings; the target controller says so
	}

	paths, err := cgroup.FindJournals(c.Paths.Cgroup)
	if err != nil {
		return holds, err
	}

	var errs error

	for _, path := range paths {
		orphan, err := openOrphan(c.Paths, c.BootID, path)
		if err != nil {
			errs = errors.Join(errs, err)

			continue
		}

		journal := *orphan.journal
		log := logger.With(zap.String("target", journal.Target), zap.String("cgroup", path), zap.String("rule", journal.Rule),
			zap.String("original", journal.Original), zap.String("applied", journal.Applied))

		if cfg.Mode == config.ModeObserve || journal.BootID != c.BootID || Clock() >= journal.HoldUntil {
			orphan.lift(resources.ActionRelease, "left by an earlier process")
			orphan.close()

			if orphan.err != nil {
				errs = errors.Join(errs, orphan.err)
			}

			log.Info("ceiling of an earlier process taken back")

			continue
		}

		orphan.claimBy = Clock() + orphanGrace
		c.orphans[path] = orphan
		holds[journal.Target] = policy.Hold{
			Rule: journal.Rule, Since: journal.Since, Until: journal.HoldUntil, Millicores: int64(math.Round(coresOf(journal.Applied) * 1000)),
		}

		log.Info("ceiling of an earlier process taken over", zap.Duration("holdLeft", journal.HoldUntil-Clock()))
	}

	return holds, errs
}

func openOrphan(paths Paths, bootID, path string) (*ceiling, error) {
	dir, err := cgroup.Open(paths.Cgroup, path)
	if err != nil {
		return nil, err
	}

	journal, err := dir.ReadJournal()
	if err != nil {
		dir.Close() //nolint:errcheck // unused

		return nil, fmt.Errorf("error taking over cgroup %s (its cpu.max stays as it is): %w", path, err)
	}

	return &ceiling{
		paths: paths, bootID: bootID, id: journal.Target, dir: dir, journal: &journal,
		target: resources.TargetSpec{Cgroup: path, CgroupInode: dir.ID().Inode},
	}, nil
}

// adopt goes on with an earlier process's ceiling.
func (c *ceiling) adopt(orphan *ceiling) {
	defer orphan.close()

	if c.dir == nil || orphan.dir.ID() != c.dir.ID() {
		return
	}

	c.claimBy = Clock() + orphanGrace
	c.adoptJournal(*orphan.journal)
}

// adoptJournal takes the ceiling on the cgroup for what it is: one of ours, in force.
func (c *ceiling) adoptJournal(journal cgroup.Journal) {
	c.err, c.journal = nil, &journal
	c.status = resources.CeilingStatusSpec{
		State: resources.CeilingApplied, ContainerID: c.target.ContainerID, Rule: journal.Rule, AppliedAt: wallTime(journal.Since),
		Original: journal.Original, Applied: journal.Applied, ReadBack: journal.Applied,
		Adopted: true, SinceClock: journal.Since, HoldUntilClock: journal.HoldUntil,
	}
}

// reconcileOrphans takes back what no target claimed: after a grace, or when its hold is over.
func (c *CeilingController) reconcileOrphans(now time.Duration) []resources.GuardActionSpec {
	var actions []resources.GuardActionSpec

	for path, orphan := range c.orphans {
		waiting := now < orphan.claimBy && now < orphan.journal.HoldUntil
		if waiting || now < orphan.retryAt {
			continue
		}

		actions = append(actions, orphan.lift(resources.ActionRelease, "its target was not found again")...)

		if orphan.journal == nil {
			orphan.close()
			delete(c.orphans, path)
		}
	}

	return actions
}
