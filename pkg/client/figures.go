// SPDX-License-Identifier: MPL-2.0

package client

import (
	"context"
	"fmt"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"golang.org/x/sync/errgroup"

	"github.com/spegel-guard/spegel-guard/internal/compare"
	"github.com/spegel-guard/spegel-guard/internal/mean"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

// FiguresOver is the period that Figures averages CPU, network and allocation over.
const FiguresOver = time.Minute

// Figures reads the figures that internal/compare compares: the sums over all targets, and those of the node.
func (n *Node) Figures(ctx context.Context) (compare.Node, error) {
	var (
		stats   *resources.NodeStats
		targets safe.List[*resources.TargetStats]
		past    *guardv1alpha1.History
	)

	group, ctx := errgroup.WithContext(ctx)

	group.Go(func() (err error) {
		stats, err = safe.StateGetByID[*resources.NodeStats](ctx, n.Resources, resources.NodeStatsID)
		if state.IsNotFoundError(err) {
			return nil // the first sample is missing
		}

		return err
	})
	group.Go(func() (err error) {
		targets, err = safe.StateListAll[*resources.TargetStats](ctx, n.Resources)

		return err
	})
	group.Go(func() (err error) {
		past, err = n.History(ctx, "", FiguresOver)

		return err
	})

	if err := group.Wait(); err != nil {
		return compare.Node{}, fmt.Errorf("failed to read the figures: %w", err)
	}

	figures := compare.Node{Name: n.Name, Figures: map[compare.Metric]float64{}}

	if stats != nil {
		nodeFigures(figures.Figures, stats.TypedSpec())
	}

	running := map[string]resources.Reading{}

	for target := range targets.All() {
		application := &target.TypedSpec().Application
		running[target.Metadata().ID()] = application.AllocBytesPerSecond

		add(figures.Figures, compare.GC, application.GCPerSecond)
		add(figures.Figures, compare.Keys, advertisedKeys(application))
	}

	if traffic, known := averageOf(past.GetLinks().GetPoints(), policy.SignalNetworkTX); known {
		figures.Figures[compare.NodeTX] = traffic
	}

	for _, series := range past.GetSeries() {
		// What ended a moment ago is not used beside what runs in its place.
		if allocation, ok := running[series.GetTarget()]; ok {
			targetFigures(figures.Figures, series.GetPoints(), allocation)
		}
	}

	return figures, nil
}

func nodeFigures(into map[compare.Metric]float64, spec *resources.NodeStatsSpec) {
	for metric, reading := range map[compare.Metric]resources.Reading{
		compare.Blobs: spec.ContentBlobs, compare.Disk: spec.DiskUsedRatio, compare.Pods: spec.Pods,
		compare.NFSRTT: spec.NFSRoundTripSeconds,
	} {
		add(into, metric, reading)
	}

	add(into, compare.NFS, spec.NFSReadBytesPerSecond)
	add(into, compare.NFS, spec.NFSWriteBytesPerSecond)
}

func add(into map[compare.Metric]float64, metric compare.Metric, reading resources.Reading) {
	if reading.Known() && Plausible(reading.Value) {
		into[metric] += reading.Value
	}
}

// advertisedKeys returns the content keys that spegel advertises: the tags and digests of each version. Since v0.6 the tags and
// the content digests stand for the keys.
func advertisedKeys(application *resources.ApplicationStats) resources.Reading {
	tags, digests := application.AdvertisedTags, application.AdvertisedContentDigests

	if application.AdvertisedKeys.Known() || !tags.Known() || !digests.Known() {
		return application.AdvertisedKeys
	}

	return resources.Derived(tags.Value + digests.Value)
}

// targetFigures adds a target's averages over its points. If no point has an allocation yet, it adds the newest rate: application metrics
// are scraped about once a minute then.
func targetFigures(into map[compare.Metric]float64, points []*guardv1alpha1.Point, allocation resources.Reading) {
	for metric, signal := range map[compare.Metric]policy.Signal{
		compare.CPU: policy.SignalCPU, compare.TX: policy.SignalNetworkTX, compare.Alloc: policy.SignalAllocation,
	} {
		if average, known := averageOf(points, signal); known {
			into[metric] += average
		} else if signal == policy.SignalAllocation && len(points) > 0 {
			add(into, metric, allocation)
		}
	}
}

// averageOf returns the average of a signal over the points in which it is known, if there are any.
func averageOf(points []*guardv1alpha1.Point, signal policy.Signal) (average float64, known bool) {
	var sum mean.Mean

	for _, point := range points {
		if v := Past(point, signal); v != nil {
			sum.Add(*v, point.GetOver().AsDuration())
		}
	}

	return sum.Value(), sum.Seconds() > 0
}
