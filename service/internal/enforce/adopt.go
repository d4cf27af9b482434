// SPDX-License-Identifier: MPL-2.0

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
)

// adoptGrace is how long an adopted ceiling waits for its target to be found again, and for its first desired ceiling.
const adoptGrace = time.Minute

// Adopted is what an earlier process left on the node's cgroups.
type Adopted struct {
	// Ceilings in force whose hold is not over, by the path of the cgroup.
	Ceilings map[string]*Ceiling
	// Holds of all journals whose hold is not over, by workload.
	Holds map[string]policy.Hold
	// Changed are the Since of holds whose ceiling was changed externally meanwhile, by workload.
	Changed map[string]time.Duration
	// Actions that were taken.
	Actions []Action
}

// Adopt reads the journals of all cgroups. A ceiling in force stays as long as its hold lasts. Every other one is
// released: its hold is over, or the mode is observe, or the earlier process ended before it wrote it. Call it before
// anything else is written.
//
// The error is about the cgroups that are left as they are; cgroup.ErrNotUnified if there is no hierarchy.
func Adopt(node Node, observe bool, logger *zap.Logger) (Adopted, error) {
	adopted := Adopted{Ceilings: map[string]*Ceiling{}, Holds: map[string]policy.Hold{}, Changed: map[string]time.Duration{}}

	paths, err := node.Find()
	// What could not be searched does not keep the others from being adopted.
	errs := err

	for _, path := range paths {
		ceiling, err := openOrphan(node, path)
		if errors.Is(err, cgroup.ErrGone) {
			continue
		}

		if err == nil {
			err = adopted.add(ceiling, observe, logger)
		}

		errs = errors.Join(errs, err)
	}

	return adopted, errs
}

// add keeps a ceiling or releases it.
func (a *Adopted) add(c *Ceiling, observe bool, logger *zap.Logger) error {
	journal := *c.journal
	logger = logger.With(zap.String("target", journal.Target), zap.String("cgroup", c.target.Cgroup), zap.String("rule", journal.Rule),
		zap.String("ownerLimit", journal.OwnerLimit), zap.String("applied", journal.Applied))

	current, err := c.dir.ReadCPUMax()
	if err != nil {
		c.Close()

		return err
	}

	now := boottime.Now()
	held := !observe && strings.TrimSpace(journal.BootID) == strings.TrimSpace(c.node.BootID) && now < journal.HoldUntil

	hold := policy.Hold{
		Rule: journal.Rule, Since: journal.Since, Until: journal.HoldUntil, Millicores: int64(math.Round(cgroup.Cores(journal.Applied) * 1000)),
	}

	// A time that cannot be right must not keep a ceiling.
	if err := hold.Check(config.SavedBounds(now)); held && err != nil {
		held = false

		logger.Error("ceiling is not continued, its journal cannot be right", zap.Error(err))
	}

	if held {
		a.Holds[journal.Target] = hold
	}

	if held && !journal.Ours(current) && !journal.Owners(current) {
		a.Changed[journal.Target] = journal.Since
		a.Actions = append(a.Actions, c.action(ActionExternalChange, journal.Rule,
			"cpu.max was changed externally while no guard ran: it is the owner's limit now", journal.Applied, current.String(), nil))
	}

	if held && journal.Ours(current) {
		c.adoptBy = now + adoptGrace
		a.Ceilings[c.target.Cgroup] = c
		a.Actions = append(a.Actions, c.action(ActionAdopt, journal.Rule, "an earlier process applied it and its hold is not over",
			current.String(), current.String(), nil))

		logger.Info("ceiling adopted", zap.Duration("holdLeft", journal.HoldUntil-now))

		return nil
	}

	a.Actions = append(a.Actions, c.Release(ActionRelease, "an earlier process left it", now)...)

	if c.InForce() {
		a.Ceilings[c.target.Cgroup] = c // tried again

		return c.err
	}

	c.Close()
	logger.Info("ceiling of an earlier process released", zap.String("found", current.String()))

	return nil
}

// openOrphan opens a cgroup with a journal.
func openOrphan(node Node, path string) (*Ceiling, error) {
	dir, err := node.Open(path)
	if err != nil {
		return nil, err
	}

	journal, err := dir.ReadJournal()
	if err != nil {
		dir.Close() //nolint:errcheck // unused

		return nil, fmt.Errorf("failed to adopt the ceiling of cgroup %s, its cpu.max stays as it is: %w", path, err)
	}

	return &Ceiling{
		node: node, dir: dir, journal: &journal,
		target: Target{ID: journal.Target, Cgroup: path, CgroupInode: dir.ID().Inode},
	}, nil
}

// Adopt continues an orphaned ceiling of the same cgroup: its target was found.
func (c *Ceiling) Adopt(orphan *Ceiling) {
	if orphan.journal == nil || orphan.dir.ID().Inode != c.target.CgroupInode {
		orphan.Close() // of a cgroup that is gone

		return
	}

	c.Close()
	c.dir, orphan.dir = orphan.dir, nil
	c.adoptBy = boottime.Now() + adoptGrace

	readBack := ""
	if current, err := c.dir.ReadCPUMax(); err == nil {
		readBack = current.String()
	}

	c.adopt(*orphan.journal, readBack)
}

// Expire releases an orphaned ceiling whose target was not found: after a grace, or when its hold is over.
func (c *Ceiling) Expire(now time.Duration) []Action {
	if c.journal == nil || now < c.retryAt || now < c.adoptBy && now < c.journal.HoldUntil {
		return nil
	}

	reason := "its target was not found again"
	if now >= c.journal.HoldUntil {
		reason = "its hold is over"
	}

	return c.Release(ActionRelease, reason, now)
}
