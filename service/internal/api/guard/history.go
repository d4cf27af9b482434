// SPDX-License-Identifier: MPL-2.0

//go:build linux

package guard

import (
	"context"
	"math"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

// History implements guardv1alpha1.GuardServiceServer.
func (s *Service) History(ctx context.Context, request *guardv1alpha1.HistoryRequest) (*guardv1alpha1.HistoryResponse, error) {
	since := time.Duration(math.MinInt64)

	if request.GetSince() != nil {
		back := request.GetSince().AsDuration()
		if back <= 0 {
			return nil, statusOf(config.FieldError{Field: "since", Value: back.String(), Allowed: "a duration above 0, or none for everything that is kept"})
		}

		since = boottime.Now() - back
	}

	targets, err := s.targets(ctx, request.GetTarget())
	if err != nil {
		return nil, statusOf(err)
	}

	message := &guardv1alpha1.History{Metadata: s.node.metadata()}

	for _, target := range targets {
		id := target.Metadata().ID()
		series := &guardv1alpha1.Series{Target: id}

		for _, point := range s.node.History.Points(id, since) {
			series.Points = append(series.Points, &guardv1alpha1.Point{
				At: timestamp(boottime.Wall(point.At)), Over: durationpb.New(point.Over),
				CpuCores: known(point.CPU), TxBytesPerSecond: known(point.TX), RxBytesPerSecond: known(point.RX),
				AllocBytesPerSecond: known(point.Allocation), ThrottledRatio: known(point.Throttled),
			})
		}

		message.Series = append(message.Series, series)
	}

	return &guardv1alpha1.HistoryResponse{Messages: []*guardv1alpha1.History{message}}, nil
}

// known returns nil for a value that is unavailable.
func known(value float64) *float64 {
	if math.IsNaN(value) {
		return nil
	}

	return &value
}
