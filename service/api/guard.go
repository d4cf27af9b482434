package api

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

// guardService answers from the resources alone: it knows nothing that a watcher of them could not know.
type guardService struct {
	guardv1alpha1.UnimplementedGuardServiceServer

	state state.State
}

// Status implements guardv1alpha1.GuardServiceServer.
func (s *guardService) Status(ctx context.Context, _ *emptypb.Empty) (*guardv1alpha1.StatusResponse, error) {
	message := &guardv1alpha1.Status{Metadata: nodeMetadata(), Version: Version, State: resources.StateNoTarget}

	status, err := safe.StateGetByID[*resources.GuardStatus](ctx, s.state, resources.GuardStatusID)
	if err != nil && !state.IsNotFoundError(err) {
		return nil, fmt.Errorf("error reading the guard's status: %w", err)
	}

	if err == nil {
		spec := status.TypedSpec()
		message.State, message.Mode, message.Message = spec.State, spec.Mode, spec.Message
		message.Since = timestamppb.New(spec.Since)
	}

	stats, err := safe.StateListAll[*resources.TargetStats](ctx, s.state)
	if err != nil {
		return nil, fmt.Errorf("error listing target stats: %w", err)
	}

	for target := range stats.All() {
		status, err := s.targetStatus(ctx, target.Metadata().ID(), target.TypedSpec())
		if err != nil {
			return nil, err
		}

		message.Targets = append(message.Targets, status)
	}

	slices.SortFunc(message.Targets, func(a, b *guardv1alpha1.TargetStatus) int { return cmp.Compare(a.GetId(), b.GetId()) })

	return &guardv1alpha1.StatusResponse{Messages: []*guardv1alpha1.Status{message}}, nil
}

func (s *guardService) targetStatus(ctx context.Context, id string, stats *resources.TargetStatsSpec) (*guardv1alpha1.TargetStatus, error) {
	target := &guardv1alpha1.TargetStatus{
		Id:               id,
		ContainerId:      stats.ContainerID,
		CpuCores:         reading(stats.CPU),
		TxBytesPerSecond: reading(stats.TXBytesPerSecond),
		RxBytesPerSecond: reading(stats.RXBytesPerSecond),
		MemoryBytes:      reading(stats.MemoryBytes),
		ThrottledRatio:   reading(stats.ThrottledRatio),
	}

	rules, err := safe.StateListAll[*resources.RuleStatus](ctx, s.state)
	if err != nil {
		return nil, fmt.Errorf("error listing rules: %w", err)
	}

	for rule := range rules.All() {
		name, ok := strings.CutPrefix(rule.Metadata().ID(), id+"/")
		if !ok {
			continue
		}

		spec := rule.TypedSpec()
		target.Rules = append(target.Rules, &guardv1alpha1.RuleStatus{
			Name: name, Signal: spec.Signal, State: spec.State, Value: spec.Value, Threshold: spec.Threshold,
			Since: timestamppb.New(spec.Since), TripsIn: durationpb.New(spec.TripsIn), Reason: spec.Reason,
			Credit: spec.Credit, Mode: spec.Mode,
		})
	}

	slices.SortFunc(target.Rules, func(a, b *guardv1alpha1.RuleStatus) int { return cmp.Compare(a.GetName(), b.GetName()) })

	ceiling, err := safe.StateGetByID[*resources.CeilingStatus](ctx, s.state, id)

	switch {
	case state.IsNotFoundError(err):
	case err != nil:
		return nil, fmt.Errorf("error reading the ceiling of %s: %w", id, err)
	default:
		spec := ceiling.TypedSpec()
		target.Ceiling = &guardv1alpha1.CeilingStatus{
			State: spec.State, Rule: spec.Rule, Original: spec.Original, Applied: spec.Applied, ReadBack: spec.ReadBack,
			ForeignWrites: spec.ForeignWrites, LastError: spec.LastError,
		}
	}

	return target, nil
}

func reading(r resources.Reading) *guardv1alpha1.Reading {
	return &guardv1alpha1.Reading{Value: r.Value, Provenance: r.Provenance, Reason: r.Reason}
}

// nodeMetadata names this node, as Talos does.
func nodeMetadata() *common.Metadata {
	hostname, err := os.Hostname()
	if err != nil {
		hostname = ""
	}

	return &common.Metadata{Hostname: hostname}
}
