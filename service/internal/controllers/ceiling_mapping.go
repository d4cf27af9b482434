// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"github.com/cosi-project/runtime/pkg/resource"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/decide"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
)

// desiredCeiling maps the resource; nil is one that is not published yet.
func desiredCeiling(spec *resources.DesiredCeilingSpec) *decide.DesiredCeiling {
	if spec == nil {
		return nil
	}

	return &decide.DesiredCeiling{
		Millicores: spec.CeilingMillicores, FloorMillicores: spec.FloorMillicores,
		Observe: spec.Mode == string(config.ModeObserve), Probing: spec.Probing,
		Yield: spec.Conflict == string(config.ConflictYield), YieldedSince: spec.YieldedClock,
		Since: spec.SinceClock, Until: spec.HoldUntilClock, Rule: spec.Rule, Reason: spec.Reason,
	}
}

func enforceTarget(id resource.ID, spec resources.TargetSpec) enforce.Target {
	return enforce.Target{
		ID: id, ContainerID: spec.ContainerID, PID: int(spec.PID), PIDStartTime: spec.PIDStartTime,
		Cgroup: spec.Cgroup, CgroupInode: spec.CgroupInode,
	}
}

func ceilingStatus(status enforce.Status) resources.CeilingStatusSpec {
	return resources.CeilingStatusSpec{
		State: status.State, ContainerID: status.ContainerID, Rule: status.Rule,
		OwnerLimit: status.OwnerLimit, Applied: status.Applied, ReadBack: status.ReadBack, AppliedAtClock: status.AppliedAt,
		ExternalChanges: status.ExternalChanges, LastError: status.LastError, Adopted: status.Adopted,
		SinceClock: status.Since, HoldUntilClock: status.Until,
	}
}

// actionSpecs maps actions of a mode.
func actionSpecs(actions []enforce.Action, mode config.Mode) []resources.GuardActionSpec {
	var specs []resources.GuardActionSpec

	for _, action := range actions {
		spec := resources.GuardActionSpec{
			Clock: action.At, Action: action.Kind, Mode: string(mode), Target: action.Target, ContainerID: action.ContainerID, Cgroup: action.Cgroup,
			Rule: action.Rule, Reason: action.Reason, Before: action.Before, After: action.After,
		}

		if action.Err != nil {
			spec.Error = action.Err.Error()
		}

		specs = append(specs, spec)
	}

	return specs
}
