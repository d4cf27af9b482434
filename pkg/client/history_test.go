// SPDX-License-Identifier: MPL-2.0

package client

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

// sending is a guard that sends a history.
type sending struct {
	guardv1alpha1.GuardServiceClient

	history *guardv1alpha1.History
}

func (s sending) History(context.Context, *guardv1alpha1.HistoryRequest, ...grpc.CallOption) (*guardv1alpha1.HistoryResponse, error) {
	return &guardv1alpha1.HistoryResponse{Messages: []*guardv1alpha1.History{s.history}}, nil
}

func TestNode_HistoryHasOnlyValidPoints(t *testing.T) {
	at, over := timestamppb.New(time.Unix(1_700_000_000, 0)), durationpb.New(10*time.Second)

	for _, test := range []struct {
		name  string
		point *guardv1alpha1.Point
		want  *guardv1alpha1.Point
	}{
		{
			"valid",
			&guardv1alpha1.Point{At: at, Over: over, CpuCores: proto.Float64(0.5), ThrottledRatio: proto.Float64(0)},
			&guardv1alpha1.Point{At: at, Over: over, CpuCores: proto.Float64(0.5), ThrottledRatio: proto.Float64(0)},
		},
		{"clock not set", &guardv1alpha1.Point{Over: over}, &guardv1alpha1.Point{Over: over}},
		{"time that wraps", &guardv1alpha1.Point{At: &timestamppb.Timestamp{Seconds: math.MaxInt64}, Over: over}, nil},
		{"year 10000", &guardv1alpha1.Point{At: &timestamppb.Timestamp{Seconds: 253402300800}, Over: over}, nil},
		{"a century", &guardv1alpha1.Point{At: at, Over: durationpb.New(100 * 365 * 24 * time.Hour)}, nil},
		{"negative duration", &guardv1alpha1.Point{At: at, Over: durationpb.New(-1)}, nil},
		{"duration that wraps", &guardv1alpha1.Point{At: at, Over: &durationpb.Duration{Seconds: math.MaxInt64}}, nil},
		{
			"values without a place on an axis",
			&guardv1alpha1.Point{
				At: at, Over: over, CpuCores: proto.Float64(math.NaN()), TxBytesPerSecond: proto.Float64(math.Inf(1)), RxBytesPerSecond: proto.Float64(-1),
				AllocBytesPerSecond: proto.Float64(1e19), ThrottledRatio: proto.Float64(math.Inf(-1)),
			},
			&guardv1alpha1.Point{At: at, Over: over},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			series := func() *guardv1alpha1.Series {
				return &guardv1alpha1.Series{Points: []*guardv1alpha1.Point{proto.CloneOf(test.point)}}
			}
			n := &Node{Guard: sending{history: &guardv1alpha1.History{Series: []*guardv1alpha1.Series{series()}, Links: series()}}}

			history, err := n.History(t.Context(), "", 0)
			require.NoError(t, err)

			for _, points := range [][]*guardv1alpha1.Point{history.GetSeries()[0].GetPoints(), history.GetLinks().GetPoints()} {
				if test.want == nil {
					assert.Empty(t, points)
				} else {
					require.Len(t, points, 1)
					assert.Truef(t, proto.Equal(test.want, points[0]), "%v", points[0])
				}
			}
		})
	}
}

// TestNode_HistoryIsBounded: an empty point has two bytes on the wire.
func TestNode_HistoryIsBounded(t *testing.T) {
	points := make([]*guardv1alpha1.Point, mostPoints+1)
	for i := range points {
		points[i] = &guardv1alpha1.Point{}
	}

	all := &guardv1alpha1.History{}
	for range mostInAll/mostPoints + 1 {
		all.Series = append(all.Series, &guardv1alpha1.Series{Points: points[:mostPoints]})
	}

	for name, history := range map[string]*guardv1alpha1.History{
		"series":          {Series: make([]*guardv1alpha1.Series, mostSeries+1)},
		"points":          {Series: []*guardv1alpha1.Series{{Points: points}}},
		"points of links": {Links: &guardv1alpha1.Series{Points: points}},
		"all points":      all,
		"target":          {Series: []*guardv1alpha1.Series{{Target: strings.Repeat("x", maxTarget+1)}}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := (&Node{Guard: sending{history: history}}).History(t.Context(), "", 0)
			assert.ErrorContains(t, err, "at most")
		})
	}
}
