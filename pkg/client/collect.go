// SPDX-License-Identifier: MPL-2.0

package client

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/meta"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// list returns all resources of a type in the order of their ids.
func list[T meta.ResourceWithRD](ctx context.Context, st state.State) ([]T, error) {
	all, err := safe.StateListAll[T](ctx, st)
	if state.IsNotFoundError(err) || status.Code(err) == codes.NotFound {
		return nil, nil // an older guard has no such type
	}

	if err != nil {
		return nil, err
	}

	items := slices.Collect(all.All())

	slices.SortFunc(items, func(a, b T) int { return cmp.Compare(a.Metadata().ID(), b.Metadata().ID()) })

	return items, nil
}

// collect lists a type in a goroutine of the group and calls each with every resource.
func collect[T meta.ResourceWithRD](ctx context.Context, group *errgroup.Group, st state.State, each func(id resource.ID, item T)) {
	group.Go(func() error {
		items, err := list[T](ctx, st)

		for _, item := range items {
			each(item.Metadata().ID(), item)
		}

		return err
	})
}

// common is what Status and Explanation have in common.
type common struct {
	guard     Guard
	overrides []Override
	rules     map[string][]Rule
	ceilings  map[string]*resources.CeilingStatusSpec
}

func collectCommon(ctx context.Context, group *errgroup.Group, st state.State) *common {
	c := &common{
		guard: Guard{State: resources.StateNoTarget}, rules: map[string][]Rule{}, ceilings: map[string]*resources.CeilingStatusSpec{},
	}

	collect(ctx, group, st, func(_ resource.ID, item *resources.GuardStatus) {
		spec := item.TypedSpec()
		c.guard = Guard{State: spec.State, Mode: spec.Mode, Since: spec.Since, Message: spec.Message}
	})
	collect(ctx, group, st, func(id resource.ID, item *resources.Override) {
		c.overrides = append(c.overrides, Override{Target: id, OverrideSpec: *item.TypedSpec()})
	})
	collect(ctx, group, st, func(id resource.ID, item *resources.RuleStatus) {
		target, name := splitRule(id)
		c.rules[target] = append(c.rules[target], Rule{Name: name, RuleStatusSpec: *item.TypedSpec()})
	})
	collect(ctx, group, st, func(id resource.ID, item *resources.CeilingStatus) { c.ceilings[id] = item.TypedSpec() })

	return c
}

// splitRule splits the id of a RuleStatus, <target>/<rule>.
func splitRule(id resource.ID) (target, name string) {
	cut := strings.LastIndexByte(id, '/')

	return id[:max(0, cut)], id[cut+1:]
}
