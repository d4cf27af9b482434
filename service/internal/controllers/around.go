//go:build linux

package controllers

import (
	"context"
	"errors"
	"fmt"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/safe"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// surroundings are what the policy looks at beside the samples.
type surroundings struct {
	// ceilings by target, and their owners' limits in cores.
	ceilings   map[string]resources.CeilingStatusSpec
	owners     map[string]float64
	orders     orders
	conditions []resources.ConditionSpec
	// inForce is how many orders were when it was last asked.
	inForce int
}

// lookAround reads them. Orders that are over may be among them.
func lookAround(ctx context.Context, r controller.Reader) (surroundings, error) {
	around := surroundings{ceilings: map[string]resources.CeilingStatusSpec{}, owners: map[string]float64{}}

	ceilings, err := safe.ReaderListAll[*resources.CeilingStatus](ctx, r)
	if err != nil {
		return around, fmt.Errorf("error listing ceilings: %w", err)
	}

	for ceiling := range ceilings.All() {
		around.ceilings[ceiling.Metadata().ID()] = *ceiling.TypedSpec()
		around.owners[ceiling.Metadata().ID()] = cgroup.Cores(ceiling.TypedSpec().OwnerLimit)
	}

	conditions, err := safe.ReaderListAll[*resources.Condition](ctx, r)
	if err != nil {
		return around, fmt.Errorf("error listing conditions: %w", err)
	}

	for condition := range conditions.All() {
		around.conditions = append(around.conditions, *condition.TypedSpec())
	}

	around.orders, err = readOrders(ctx, r)

	return around, err
}

// expired tells that fewer orders are in force than when it was last asked.
func (s *surroundings) expired(now orders) bool {
	before := s.inForce
	s.inForce = len(now)

	return len(now) < before
}

// unlessStopped is an error, unless it is that the service stops.
func unlessStopped(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}

	return err
}
