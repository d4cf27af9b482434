// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"maps"
	"slices"

	"github.com/cosi-project/runtime/pkg/resource"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
)

// ceilings are those of the targets that are present.
type ceilings struct {
	node     enforce.Node
	byTarget map[resource.ID]*enforce.Ceiling
	// orphans take a ceiling whose target is gone, and give up one whose target is found.
	orphans *enforce.Orphans
}

// get returns a target's ceiling, a new one for a new container. It returns nil while another target's ceiling is on the cgroup: each of
// the two would restore the owner's limit beneath the other.
func (c *ceilings) get(target enforce.Target) *enforce.Ceiling {
	if known, ok := c.byTarget[target.ID]; ok {
		return known
	}

	created := enforce.New(c.node, target)

	orphan, ok := c.orphans.Attach(target)
	if !ok {
		created.Close()

		return nil
	}

	// First, so that a panic in Adopt leaves no cgroup attached for good.
	c.byTarget[target.ID] = created

	if orphan != nil {
		created.Adopt(orphan)
	}

	return created
}

// ended returns why a target's ceiling has to end; empty if the container still is the target's. The container of a target that is gone
// ended and took the cgroup with it, or only its first process did, or another target has the container now.
func (c *ceilings) ended(id resource.ID, targets map[resource.ID]resources.TargetSpec) string {
	old := c.byTarget[id].Target()

	switch target, present := targets[id]; {
	case !present:
		return "the target is gone"
	case old.ContainerID != target.ContainerID || old.CgroupInode != target.CgroupInode:
		return "the container was replaced"
	default:
		return ""
	}
}

// detach drops a target's ceiling. One that could not be released is orphaned and tried again.
func (c *ceilings) detach(id resource.ID) {
	ceiling := c.byTarget[id]
	delete(c.byTarget, id)

	c.orphans.Detach(ceiling)
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
