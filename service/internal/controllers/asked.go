//go:build linux

package controllers

import (
	"context"
	"fmt"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/safe"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// asked is what CeilingController is to do, as the state last said it.
type asked struct {
	// targets, and the wanted ceilings by target.
	targets map[string]resources.TargetSpec
	wanted  map[string]*resources.DesiredCeilingSpec
	orders  orders
}

// ask brings it up to date.
func (c *CeilingController) ask(ctx context.Context, r controller.Reader) error {
	if _, ok, err := c.config.read(ctx, r); err != nil || !ok {
		return err
	}

	next := asked{targets: map[string]resources.TargetSpec{}, wanted: map[string]*resources.DesiredCeilingSpec{}}

	targets, err := safe.ReaderListAll[*resources.Target](ctx, r)
	if err != nil {
		return fmt.Errorf("error listing targets: %w", err)
	}

	for target := range targets.All() {
		next.targets[target.Metadata().ID()] = *target.TypedSpec()
	}

	wanted, err := safe.ReaderListAll[*resources.DesiredCeiling](ctx, r)
	if err != nil {
		return fmt.Errorf("error listing wanted ceilings: %w", err)
	}

	for spec := range wanted.All() {
		next.wanted[spec.Metadata().ID()] = spec.TypedSpec()
	}

	if next.orders, err = readOrders(ctx, r); err != nil {
		return err
	}

	c.asked = next

	return nil
}
