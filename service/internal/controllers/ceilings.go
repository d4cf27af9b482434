// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"maps"
	"slices"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
)

// ceilings are those of all targets, and the orphaned ones.
type ceilings struct {
	node enforce.Node
	// byTarget are the ceilings of the targets that are present.
	byTarget map[resource.ID]*enforce.Ceiling
	// orphaned are ceilings without a target, by cgroup: an earlier process's until their target is found, and those
	// that could not be released when their target ended.
	orphaned map[string]*enforce.Ceiling
}

// get returns a target's ceiling, a new one for a new container, and what releasing the old container's did.
func (c *ceilings) get(target enforce.Target) (*enforce.Ceiling, []enforce.Action) {
	var actions []enforce.Action

	if known, ok := c.byTarget[target.ID]; ok {
		if old := known.Target(); old.ContainerID == target.ContainerID && old.CgroupInode == target.CgroupInode {
			return known, nil
		}

		actions = c.end(known, "the container was replaced")
	}

	created := enforce.New(c.node, target)

	if orphan, ok := c.orphaned[target.Cgroup]; ok {
		created.Adopt(orphan)
		delete(c.orphaned, target.Cgroup)
	}

	c.byTarget[target.ID] = created

	return created, actions
}

// remove releases the ceiling of a target that is gone. Its container ended and took the cgroup with it, or only its
// first process did.
func (c *ceilings) remove(id resource.ID) []enforce.Action {
	actions := c.end(c.byTarget[id], "the target is gone")
	delete(c.byTarget, id)

	return actions
}

// end releases a ceiling for good. One that cannot be released now is orphaned and tried again.
func (c *ceilings) end(ceiling *enforce.Ceiling, reason string) []enforce.Action {
	actions := ceiling.Release(enforce.ActionRelease, reason, boottime.Now())

	if ceiling.InForce() {
		c.orphaned[ceiling.Target().Cgroup] = ceiling
	} else {
		ceiling.Close()
	}

	return actions
}

// expire releases the orphaned ceilings whose time is over.
func (c *ceilings) expire(now time.Duration) []enforce.Action {
	var actions []enforce.Action

	for path, orphan := range c.orphaned {
		actions = append(actions, orphan.Expire(now)...)

		if !orphan.InForce() {
			orphan.Close()
			delete(c.orphaned, path)
		}
	}

	return actions
}

// idle reports whether no ceiling is in force.
func (c *ceilings) idle() bool {
	for _, ceiling := range c.byTarget {
		if ceiling.InForce() {
			return false
		}
	}

	return len(c.orphaned) == 0
}

// err is the error of a ceiling that cannot be written or released; nil when there is none.
func (c *ceilings) err() error {
	for _, id := range slices.Sorted(maps.Keys(c.byTarget)) {
		if err := c.byTarget[id].Err(); err != nil {
			return err
		}
	}

	return nil
}

// close closes every ceiling, and releases it first where release is set.
func (c *ceilings) close(release bool) []enforce.Action {
	var actions []enforce.Action

	for _, ceiling := range slices.AppendSeq(slices.Collect(maps.Values(c.byTarget)), maps.Values(c.orphaned)) {
		if release {
			actions = append(actions, ceiling.Release(enforce.ActionRelease, "the service stopped", boottime.Now())...)
		}

		ceiling.Close()
	}

	clear(c.byTarget)
	clear(c.orphaned)

	return actions
}
