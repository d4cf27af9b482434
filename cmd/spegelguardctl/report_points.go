// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/top"
	"github.com/spegel-guard/spegel-guard/internal/report"
	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

// fineHistory is how far back guards keep their points of 10 s.
const fineHistory = time.Hour

// readPoints reads the history of a node, as finely as the guard keeps it.
func readPoints(ctx context.Context, n *client.Node, since time.Duration, into *report.Node) error {
	fine, err := n.History(ctx, "", min(since, fineHistory))
	if err != nil {
		return err
	}

	var coarse *guardv1alpha1.History

	if since > fineHistory {
		if coarse, err = n.History(ctx, "", since); err != nil {
			return err
		}
	}

	into.Targets, into.Links = reportPoints(coarse, fine)

	return nil
}

// reportPoints returns those of each target, the oldest first, and those of the links. A restarted pod is another target.
func reportPoints(coarse, fine *guardv1alpha1.History) (targets [][]report.Point, links []report.Point) {
	all := map[string][]report.Point{}

	for _, series := range coarse.GetSeries() {
		all[series.GetTarget()] = targetPoints(series)
	}

	for _, series := range fine.GetSeries() {
		all[series.GetTarget()] = joined(all[series.GetTarget()], targetPoints(series))
	}

	for _, target := range slices.Sorted(maps.Keys(all)) {
		targets = append(targets, all[target])
	}

	return targets, joined(linkPoints(coarse.GetLinks()), linkPoints(fine.GetLinks()))
}

func targetPoints(series *guardv1alpha1.Series) []report.Point {
	return seriesPoints(series, func(p *guardv1alpha1.Point) report.Usage {
		return report.Usage{
			CPU: top.Past(p, config.SignalCPU), TX: top.Past(p, config.SignalNetworkTX), Allocation: top.Past(p, config.SignalAllocation), NodeTX: math.NaN(),
		}
	})
}

func linkPoints(series *guardv1alpha1.Series) []report.Point {
	return seriesPoints(series, func(p *guardv1alpha1.Point) report.Usage {
		usage := report.Unmeasured()
		usage.NodeTX = top.Past(p, config.SignalNetworkTX)

		return usage
	})
}

// seriesPoints returns the points of a series, the oldest first. Those without a time of day are left out.
func seriesPoints(series *guardv1alpha1.Series, usage func(*guardv1alpha1.Point) report.Usage) []report.Point {
	var all []report.Point

	for _, p := range series.GetPoints() {
		if p.GetAt() != nil {
			all = append(all, report.Point{At: p.GetAt().AsTime(), Over: p.GetOver().AsDuration(), Usage: usage(p)})
		}
	}

	slices.SortStableFunc(all, func(a, b report.Point) int { return a.At.Compare(b.At) })

	return all
}

// joined returns the coarse points that begin before the fine ones, and the fine ones from their end on, so that no time is left out
// between them.
func joined(coarse, fine []report.Point) []report.Point {
	if len(fine) == 0 {
		return coarse
	}

	// The length of a minute is rounded.
	const slack = time.Second

	begin := fine[0].At.Add(-fine[0].Over)
	coarse = slices.DeleteFunc(coarse, func(p report.Point) bool { return p.At.Add(slack - p.Over).After(begin) })

	if len(coarse) > 0 {
		end := coarse[len(coarse)-1].At
		fine = slices.DeleteFunc(fine, func(p report.Point) bool { return p.At.Add(slack - p.Over).Before(end) })
	}

	return append(coarse, fine...)
}
