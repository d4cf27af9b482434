// SPDX-License-Identifier: MPL-2.0

//go:build linux

package guard

import (
	"context"
	"math"
	"slices"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

// History implements guardv1alpha1.GuardServiceServer.
func (s *Service) History(ctx context.Context, request *guardv1alpha1.HistoryRequest) (*guardv1alpha1.HistoryResponse, error) {
	back := record.HistoryKept

	if request.GetSince() != nil {
		asked := request.GetSince().AsDuration()
		if asked <= 0 {
			return nil, statusOf(config.FieldError{Field: "since", Value: asked.String(), Allowed: "a duration above 0, or none for the last day"})
		}

		back = min(back, asked)
	}

	ids, err := s.pastTargets(ctx, request.GetTarget())
	if err != nil {
		return nil, statusOf(err)
	}

	past, after := s.node.History, s.node.now()-back
	target, links := past.Points, past.NodePoints

	if back > record.HistoryFine {
		target, links = past.Minutes, past.NodeMinutes
	}

	message := &guardv1alpha1.History{Metadata: s.node.metadata(), Links: seriesOf("", links(after))}

	for _, id := range ids {
		message.Series = append(message.Series, seriesOf(id, target(id, after)))
	}

	return &guardv1alpha1.HistoryResponse{Messages: []*guardv1alpha1.History{message}}, nil
}

// pastTargets returns the ids of the targets that run and of those that have a history; of one of them if an id is given.
func (s *Service) pastTargets(ctx context.Context, id string) ([]string, error) {
	ids := s.node.History.Targets()

	if id != "" && slices.Contains(ids, id) {
		return []string{id}, nil
	}

	running, err := s.targets(ctx, id)
	if err != nil {
		return nil, err
	}

	if id != "" {
		ids = nil
	}

	for _, target := range running {
		ids = append(ids, target.Metadata().ID())
	}

	slices.Sort(ids)

	return slices.Compact(ids), nil
}

func seriesOf(target string, points []record.Point) *guardv1alpha1.Series {
	series := &guardv1alpha1.Series{Target: target}

	for _, point := range points {
		series.Points = append(series.Points, &guardv1alpha1.Point{
			At: timestamp(boottime.Wall(point.At)), Over: durationpb.New(point.Over),
			CpuCores: known(point.CPU), TxBytesPerSecond: known(point.TX), RxBytesPerSecond: known(point.RX),
			AllocBytesPerSecond: known(point.Allocation), ThrottledRatio: known(point.Throttled),
		})
	}

	return series
}

// known returns nil for a value that is unavailable.
func known(value float64) *float64 {
	if math.IsNaN(value) {
		return nil
	}

	return &value
}
