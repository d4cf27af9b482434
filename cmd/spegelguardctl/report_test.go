// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

func TestReport_OfACluster(t *testing.T) {
	c := newCluster(t)

	got := c.run("report")
	assert.Zero(t, got.code, got.stderr)
	assert.Contains(t, got.stdout, "| talos-prod-2 | culprit |")
	assert.Contains(t, got.stdout, "| talos-prod-2 | apply | max 100000 → 50001 100000 | cpu 1800m above 550m for 10m0s |")
	assert.Contains(t, got.stdout, "- talos-prod-2: /run/spegel-guard/evidence/1")

	got = c.run("report", "--form", "html", "--since", "20m")
	assert.Zero(t, got.code, got.stderr)
	assert.Contains(t, got.stdout, "<polyline")

	got = c.run("report", "--form", "pdf")
	assert.NotZero(t, got.code)
	assert.Contains(t, got.stderr, `invalid --form "pdf": must be markdown or html`)
}

// TestReportPoints_AddUpTargets of a node; a value that is unavailable is none.
func TestReportPoints_AddUpTargets(t *testing.T) {
	start := time.Unix(1_000_000_000, 0).UTC()

	point := func(second int, cores float64) *guardv1alpha1.Point {
		return &guardv1alpha1.Point{
			At: timestamppb.New(start.Add(time.Duration(second) * time.Second)), Over: durationpb.New(10 * time.Second), CpuCores: &cores,
		}
	}

	points := reportPoints(&guardv1alpha1.History{Series: []*guardv1alpha1.Series{
		{Target: "a", Points: []*guardv1alpha1.Point{point(10, 1), point(20, 2), {Over: durationpb.New(time.Second)}}},
		{Target: "b", Points: []*guardv1alpha1.Point{point(21, 0.5), point(31, 0.25)}},
	}})

	require.Len(t, points, 3)

	var cores []float64

	for _, p := range points {
		cores = append(cores, p.CPU)
		assert.True(t, math.IsNaN(p.TX))
	}

	assert.Equal(t, []float64{1, 2.5, 0.25}, cores)
}
