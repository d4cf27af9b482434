// SPDX-License-Identifier: MPL-2.0

package client

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

const (
	// mostSeries is more than guards have: those of 24 targets (service/internal/record: HistoryTargets), and an empty one for each target
	// without a history.
	mostSeries = maxTargets + 64
	// mostPoints of a series are more than guards keep.
	mostPoints = 4096
	// mostInAll is more than the points of all their series.
	mostInAll = 64 << 10
	// maxTarget bounds the id of a target, in bytes: names of a namespace, a pod and a container (RFC 1123).
	maxTarget = 63 + 1 + 253 + 1 + 63
	// historyKept is what guards keep, and the longest time that a point may cover.
	historyKept = 24 * time.Hour
)

// History returns what targets used and the traffic of the node. Back to an hour ago its points are in steps of 10 s, further back in
// steps of a minute; since 0 selects the last day, which is what guards keep. It leaves out points with an invalid time, and values
// outside 0..1e18: a node decides what it sends.
func (n *Node) History(ctx context.Context, target string, since time.Duration) (*guardv1alpha1.History, error) {
	request := &guardv1alpha1.HistoryRequest{Target: target}

	if since != 0 {
		request.Since = durationpb.New(since)
	}

	response, err := n.Guard.History(ctx, request)
	if err == nil && len(response.GetMessages()) > 0 {
		err = checkHistory(response.GetMessages()[0])
	}

	return first(response.GetMessages(), err)
}

// checkHistory removes what is invalid, and returns an error for more than guards keep: points take much more memory than their bytes.
func checkHistory(history *guardv1alpha1.History) error {
	if len(history.GetSeries()) > mostSeries {
		return fmt.Errorf("the guard sends %d series of history: must be at most %d", len(history.GetSeries()), mostSeries)
	}

	all := 0

	for _, series := range append(slices.Clone(history.GetSeries()), history.GetLinks()) {
		if series == nil {
			continue
		}

		if len(series.GetPoints()) > mostPoints || len(series.GetTarget()) > maxTarget {
			return fmt.Errorf("the guard sends a series with %d points and a target of %d bytes: must be at most %d and %d",
				len(series.GetPoints()), len(series.GetTarget()), mostPoints, maxTarget)
		}

		if all += len(series.GetPoints()); all > mostInAll {
			return fmt.Errorf("the guard sends too many points of history: all series together must have at most %d", mostInAll)
		}

		series.Points = slices.DeleteFunc(series.GetPoints(), func(p *guardv1alpha1.Point) bool { return !validPoint(p) })
	}

	return nil
}

// validPoint reports whether the times of a point are valid, and removes its invalid values. A point without a time of day is valid: the
// clock of its node was not set.
func validPoint(p *guardv1alpha1.Point) bool {
	if p.GetAt() != nil && !p.GetAt().IsValid() {
		return false
	}

	if over := p.GetOver(); over != nil && (!over.IsValid() || over.AsDuration() < 0 || over.AsDuration() > historyKept) {
		return false
	}

	for _, value := range []**float64{&p.CpuCores, &p.TxBytesPerSecond, &p.RxBytesPerSecond, &p.AllocBytesPerSecond, &p.ThrottledRatio} {
		if *value != nil && !Plausible(**value) {
			*value = nil
		}
	}

	return true
}
