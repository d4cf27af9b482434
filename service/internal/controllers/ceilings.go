// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"maps"
	"slices"

	"github.com/cosi-project/runtime/pkg/resource"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
)

// ceilings are those of the targets that are present.
type ceilings struct {
	node     enforce.Node
	byTarget map[resource.ID]*enforce.Ceiling
	// orphans take a ceiling whose target is gone, and give up one whose target is found.
	orphans *enforce.Orphans
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

	if orphan := c.orphans.Attach(target.Cgroup); orphan != nil {
		created.Adopt(orphan)
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

	c.orphans.Detach(ceiling)

	return actions
}

// idle reports whether no ceiling is in force.
func (c *ceilings) idle() bool {
	for _, ceiling := range c.byTarget {
		if ceiling.InForce() {
			return false
		}
	}

	return true
}

// err returns the error of a ceiling that cannot be written or released, or nil. An error that leaves a ceiling in force takes precedence.
func (c *ceilings) err() error {
	var first error

	for _, id := range slices.Sorted(maps.Keys(c.byTarget)) {
		switch err := c.byTarget[id].Err(); {
		case leavesCeiling(err):
			return err
		case first == nil:
			first = err
		}
	}

	if err := c.orphans.Err(); first == nil || leavesCeiling(err) {
		return err
	}

	return first
}

// stop closes every ceiling, orphaned ones included: see enforce.Ceiling.Stop.
func (c *ceilings) stop(release bool) []enforce.Action {
	var actions []enforce.Action

	for _, ceiling := range c.byTarget {
		actions = append(actions, ceiling.Stop(release)...)
	}

	clear(c.byTarget)

	return append(actions, c.orphans.Stop(release)...)
}
