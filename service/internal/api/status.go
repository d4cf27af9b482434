// SPDX-License-Identifier: MPL-2.0

//go:build linux

package api

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/meta"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

// Status implements guardv1alpha1.GuardServiceServer.
func (s *guardService) Status(ctx context.Context, _ *guardv1alpha1.StatusRequest) (*guardv1alpha1.StatusResponse, error) {
	message := &guardv1alpha1.Status{Metadata: s.node.metadata(), Version: Version, State: resources.StateNoTarget}

	status, err := find[*resources.GuardStatus](ctx, s.node.State, resources.GuardStatusID)
	if err != nil {
		return nil, statusOf(err)
	}

	if status != nil {
		spec := status.TypedSpec()
		message.State, message.Mode, message.Message = spec.State, spec.Mode, spec.Message
		message.Since = protoTime(spec.Since)
	}

	stats, err := list[*resources.TargetStats](ctx, s.node.State)
	if err != nil {
		return nil, statusOf(err)
	}

	for _, target := range stats {
		status, err := s.targetStatus(ctx, target.Metadata().ID(), target.TypedSpec())
		if err != nil {
			return nil, statusOf(err)
		}

		message.Targets = append(message.Targets, status)
	}

	if message.Overrides, err = s.overrides(ctx); err != nil {
		return nil, statusOf(err)
	}

	return &guardv1alpha1.StatusResponse{Messages: []*guardv1alpha1.Status{message}}, nil
}

func (s *guardService) targetStatus(ctx context.Context, id string, stats *resources.TargetStatsSpec) (*guardv1alpha1.TargetStatus, error) {
	target := &guardv1alpha1.TargetStatus{
		Id:                  id,
		ContainerId:         stats.ContainerID,
		CpuCores:            protoReading(stats.CPU),
		TxBytesPerSecond:    protoReading(stats.TXBytesPerSecond),
		RxBytesPerSecond:    protoReading(stats.RXBytesPerSecond),
		MemoryBytes:         protoReading(stats.MemoryBytes),
		ThrottledRatio:      protoReading(stats.ThrottledRatio),
		AllocBytesPerSecond: protoReading(stats.Application.AllocBytesPerSecond),
	}

	var err error

	if target.Rules, err = s.rules(ctx, id); err != nil {
		return nil, err
	}

	target.Ceiling, err = s.ceiling(ctx, id)

	return target, err
}

// rules of a target, in order of their names.
func (s *guardService) rules(ctx context.Context, target string) ([]*guardv1alpha1.RuleStatus, error) {
	all, err := list[*resources.RuleStatus](ctx, s.node.State)
	if err != nil {
		return nil, err
	}

	var rules []*guardv1alpha1.RuleStatus

	for _, rule := range all {
		if name, ok := strings.CutPrefix(rule.Metadata().ID(), target+"/"); ok {
			rules = append(rules, protoRule(name, rule.TypedSpec()))
		}
	}

	return rules, nil
}

// ceiling of a target, nil for none.
func (s *guardService) ceiling(ctx context.Context, target string) (*guardv1alpha1.CeilingStatus, error) {
	ceiling, err := find[*resources.CeilingStatus](ctx, s.node.State, target)
	if err != nil || ceiling == nil {
		return nil, err
	}

	return protoCeiling(ceiling.TypedSpec()), nil
}

func (s *guardService) overrides(ctx context.Context) ([]*guardv1alpha1.Override, error) {
	all, err := list[*resources.Override](ctx, s.node.State)
	if err != nil {
		return nil, err
	}

	var overrides []*guardv1alpha1.Override

	for _, override := range all {
		overrides = append(overrides, protoOverride(override.Metadata().ID(), *override.TypedSpec()))
	}

	return overrides, nil
}

// find is a resource, or nil when there is none.
func find[T meta.ResourceWithRD](ctx context.Context, st state.State, id resource.ID) (found T, err error) {
	found, err = safe.StateGetByID[T](ctx, st, id)
	if state.IsNotFoundError(err) {
		return found, nil
	}

	if err != nil {
		return found, fmt.Errorf("error reading %T %s: %w", found, id, err)
	}

	return found, nil
}

// list is all resources of a type, in order of their ids.
func list[T meta.ResourceWithRD](ctx context.Context, st state.State) ([]T, error) {
	all, err := safe.StateListAll[T](ctx, st)
	if err != nil {
		var kind T

		return nil, fmt.Errorf("error listing %T: %w", kind, err)
	}

	items := slices.Collect(all.All())

	slices.SortFunc(items, func(a, b T) int { return cmp.Compare(a.Metadata().ID(), b.Metadata().ID()) })

	return items, nil
}
