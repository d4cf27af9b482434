// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"fmt"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/safe"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/decide"
)

// policyInputs are the resources that the policy reads beside the samples.
type policyInputs struct {
	ceilings   map[resource.ID]ceilingInput
	overrides  overrides
	conditions []resources.ConditionSpec
	// inForce is the number of overrides at the last call of active.
	inForce int
}

// ceilingInput is the ceiling of a target. Owner is the owner's limit in cores; 0 is no limit, or an unknown one.
type ceilingInput struct {
	resources.CeilingStatusSpec

	owner float64
	// override is the ceiling in force in cores if it is that of an override; 0 otherwise.
	override float64
}

// readPolicyInputs reads them. Overrides that have expired may be among them.
func readPolicyInputs(ctx context.Context, r controller.Reader) (policyInputs, error) {
	inputs := policyInputs{ceilings: map[resource.ID]ceilingInput{}}

	ceilings, err := safe.ReaderListAll[*resources.CeilingStatus](ctx, r)
	if err != nil {
		return inputs, fmt.Errorf("failed to list ceilings: %w", err)
	}

	for ceiling := range ceilings.All() {
		spec := ceiling.TypedSpec()
		input := ceilingInput{CeilingStatusSpec: *spec, owner: cgroup.Cores(spec.OwnerLimit)}

		if spec.Rule == decide.RuleOverride && spec.AppliedAtClock != 0 {
			input.override = cgroup.Cores(spec.ReadBack)
		}

		inputs.ceilings[ceiling.Metadata().ID()] = input
	}

	conditions, err := safe.ReaderListAll[*resources.Condition](ctx, r)
	if err != nil {
		return inputs, fmt.Errorf("failed to list conditions: %w", err)
	}

	for condition := range conditions.All() {
		inputs.conditions = append(inputs.conditions, *condition.TypedSpec())
	}

	inputs.overrides, err = readOverrides(ctx, r)

	return inputs, err
}

// active returns the overrides in force, and whether one has expired since the last call: nothing else reports that.
func (i *policyInputs) active(now time.Duration) (inForce overrides, expired bool) {
	inForce = i.overrides.at(now)
	expired = len(inForce) < i.inForce
	i.inForce = len(inForce)

	return inForce, expired
}

// settingsOf are the parts of a configuration that the arbiter applies.
func settingsOf(cfg config.Config) decide.Settings {
	return decide.Settings{
		Observe: cfg.Mode == config.ModeObserve, FloorMillicores: cfg.Ceiling.Floor.Millicores,
		Yield: cfg.Ceiling.Conflict == config.ConflictYield, Wall: boottime.Wall,
	}
}
