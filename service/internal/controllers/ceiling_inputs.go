// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"fmt"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/safe"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// ceilingInputs are the resources that the enforcer acts on, by target.
type ceilingInputs struct {
	targets map[resource.ID]resources.TargetSpec
	desired map[resource.ID]*resources.DesiredCeilingSpec
}

// readCeilingInputs reads them.
func readCeilingInputs(ctx context.Context, r controller.Reader) (ceilingInputs, error) {
	inputs := ceilingInputs{targets: map[resource.ID]resources.TargetSpec{}, desired: map[resource.ID]*resources.DesiredCeilingSpec{}}

	targets, err := safe.ReaderListAll[*resources.Target](ctx, r)
	if err != nil {
		return inputs, fmt.Errorf("failed to list targets: %w", err)
	}

	for target := range targets.All() {
		inputs.targets[target.Metadata().ID()] = *target.TypedSpec()
	}

	desired, err := safe.ReaderListAll[*resources.DesiredCeiling](ctx, r)
	if err != nil {
		return inputs, fmt.Errorf("failed to list desired ceilings: %w", err)
	}

	for ceiling := range desired.All() {
		inputs.desired[ceiling.Metadata().ID()] = ceiling.TypedSpec()
	}

	return inputs, nil
}

// idle reports whether no ceiling is desired.
func (i ceilingInputs) idle() bool {
	for _, desired := range i.desired {
		if !desired.None() {
			return false
		}
	}

	return true
}
