// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/spegel-guard/spegel-guard/internal/report"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
	"github.com/spegel-guard/spegel-guard/service/fleettest"
)

func TestReport_OfACluster(t *testing.T) {
	c := newCluster(t)
	// Guards keep the history by the machine's clock.
	c.now = time.Now

	got := c.run("report")
	assert.Zero(t, got.code, got.stderr)
	assert.Contains(t, got.stdout, "| talos-prod-2 | culprit | CPU |")
	assert.Contains(t, got.stdout, "| talos-prod-2 | culprit | node TX |")
	assert.Contains(t, got.stdout, "| talos-prod-2 | apply | max → 500m | cpu 1800m above 550m for 10m |")
	assert.Contains(t, got.stdout, "- talos-prod-2: /run/spegel-guard/evidence/1")

	got = c.run("report", "--form", "html", "--since", "20m")
	assert.Zero(t, got.code, got.stderr)
	assert.Contains(t, got.stdout, "<polyline")

	got = c.run("report", "--form", "pdf")
	assert.NotZero(t, got.code)
	assert.Contains(t, got.stderr, `invalid --form "pdf": must be markdown or html`)
}

// TestReport_LeavesOutNodesWithAnotherTime: an action of the future would be the last incident.
func TestReport_LeavesOutNodesWithAnotherTime(t *testing.T) {
	c := newClusterOf(t, fleettest.NewEnded)
	c.now = time.Now

	require.NoError(t, safe.StateModify(t.Context(), c.guards[0].State, resources.NewGuardAction("ahead"), func(r *resources.GuardAction) error {
		*r.TypedSpec() = resources.GuardActionSpec{At: time.Now().Add(time.Hour), Action: resources.ActionApply, Target: "spegel/spegel-a/registry", After: "1000 100000"}

		return nil
	}))

	got := c.run("report")
	assert.Equal(t, 1, got.code)
	assert.Contains(t, got.stderr, "talos-prod-1: the node reports the time ")
	assert.Contains(t, got.stdout, "| talos-prod-2 | culprit | CPU | 1800m | 500m | -72 % | 36m | -98 % |")
	assert.NotContains(t, got.stdout, "| talos-prod-1 | affected |")
}

func TestCheckClock(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)

	for _, test := range []struct {
		name string
		node report.Node
		ok   bool
	}{
		{"empty", report.Node{}, true},
		{"action of an unset clock", report.Node{Actions: []report.Action{{}}}, true},
		{"a little slack", report.Node{Targets: [][]report.Point{{{At: now.Add(maxClockSkew)}, {At: now.Add(-time.Hour - maxClockSkew)}}}}, true},
		{"point", report.Node{Targets: [][]report.Point{{{At: now}, {At: now.Add(maxClockSkew + 1)}}}}, false},
		{"action", report.Node{Targets: [][]report.Point{{{At: now}}}, Actions: []report.Action{{At: now.Add(time.Hour)}, {At: now}}}, false},
		{"link", report.Node{Targets: [][]report.Point{{{At: now}}}, Links: []report.Point{{At: now.Add(maxClockSkew + 1)}}}, false},
		{"points before", report.Node{Targets: [][]report.Point{{{At: now.Add(-time.Hour - maxClockSkew - 1)}, {At: now}}}}, false},
		{"actions before", report.Node{Actions: []report.Action{{At: now.Add(-20 * time.Hour)}}}, true},
		{"year 1", report.Node{Targets: [][]report.Point{{{At: time.Unix(-62135596800, 0)}}}}, false},
		{"centuries", report.Node{Actions: []report.Action{{At: now.AddDate(5000, 0, 0)}}}, false},
	} {
		t.Run(test.name, func(t *testing.T) { assert.Equal(t, test.ok, checkClock(test.node, time.Hour, now) == nil) })
	}
}

// TestReport_OfTheEndedIncident: the figures before are the incident's table, and the ceiling of 500m on the culprit reduces all.
func TestReport_OfTheEndedIncident(t *testing.T) {
	c := newClusterOf(t, fleettest.NewEnded)
	c.now = time.Now

	got := c.run("report")
	require.Zero(t, got.code, got.stderr)

	for _, row := range []string{
		"| talos-prod-1 | affected | CPU | 280m | 78m | -72 % | 6m | -98 % |",
		"| talos-prod-2 | culprit | CPU | 1800m | 500m | -72 % | 36m | -98 % |",
		"| talos-prod-2 | culprit | TX | 1.4 MB/s | 389 kB/s | -72 % | 28 kB/s | -98 % |",
		"| talos-prod-2 | culprit | allocation | 9.6 GB/min | 2.7 GB/min | -72 % | 192 MB/min | -98 % |",
		"| talos-prod-2 | culprit | node TX | 1.9 MB/s | 889 kB/s | -53 % | 528 kB/s | -72 % |",
		"| talos-prod-3 | affected | node TX | 1.1 MB/s | 522 kB/s | -53 % | 316 kB/s | -71 % |",
		"| talos-prod-2 | apply | max → 500m | cpu 1800m above 550m for 10m |",
		"| talos-prod-2 | release | 500m → max | the rules were quiet for 5m |",
	} {
		assert.Contains(t, got.stdout, row)
	}

	html := c.run("report", "--form", "html").stdout
	assert.Equal(t, 1, strings.Count(html, `<line class="ceiling"`), "one ceiling, in the chart of CPU")
}

// TestReportPoints_OfTargetsAndLinks: points without a time of day are left out, and a value that is unavailable is none.
func TestReportPoints_OfTargetsAndLinks(t *testing.T) {
	start := time.Unix(1_000_000_000, 0).UTC()

	point := func(second int, value float64) *guardv1alpha1.Point {
		return &guardv1alpha1.Point{
			At: timestamppb.New(start.Add(time.Duration(second) * time.Second)), Over: durationpb.New(10 * time.Second), TxBytesPerSecond: &value,
		}
	}

	targets, links := reportPoints(nil, &guardv1alpha1.History{
		Series: []*guardv1alpha1.Series{
			{Target: "b", Points: []*guardv1alpha1.Point{point(21, 3)}},
			{Target: "a", Points: []*guardv1alpha1.Point{point(20, 2), point(10, 1), {Over: durationpb.New(time.Second)}}},
		},
		Links: &guardv1alpha1.Series{Points: []*guardv1alpha1.Point{point(25, 4)}},
	})

	require.Len(t, targets, 2)
	require.Len(t, targets[0], 2)
	require.Len(t, targets[1], 1)
	require.Len(t, links, 1)

	for i, p := range []report.Point{targets[0][0], targets[0][1], targets[1][0]} {
		assert.InDelta(t, i+1, p.TX, 0)
		assert.True(t, math.IsNaN(p.CPU))
		assert.True(t, math.IsNaN(p.NodeTX))
		assert.Equal(t, 10*time.Second, p.Over)
	}

	assert.Equal(t, start.Add(10*time.Second), targets[0][0].At, "the oldest is first")
	assert.InDelta(t, 4, links[0].NodeTX, 0)
	assert.True(t, math.IsNaN(links[0].TX))
}

// TestReportPoints_SeparatePeriods: a step that began before the ceiling is not a part of the time under it, wherever the steps of two
// targets and the links end.
func TestReportPoints_SeparatePeriods(t *testing.T) {
	const step = 9600 * time.Millisecond

	start := time.Unix(1_000_000_000, 0).UTC()
	applied, released := start.Add(60*time.Second), start.Add(120*time.Second)

	// used is the average of a load of 2 without the ceiling, and 0.5 under it.
	used := func(from, to time.Time) float64 {
		under := max(0, min(to.Sub(applied), to.Sub(from))) - max(0, min(to.Sub(released), to.Sub(from)))

		return 2 - 1.5*under.Seconds()/to.Sub(from).Seconds()
	}

	series := func(offset time.Duration) *guardv1alpha1.Series {
		s := &guardv1alpha1.Series{}

		for from := start.Add(offset - 11*time.Minute); from.Before(start.Add(3 * time.Minute)); from = from.Add(step) {
			value := used(from, from.Add(step))
			s.Points = append(s.Points, &guardv1alpha1.Point{
				At: timestamppb.New(from.Add(step)), Over: durationpb.New(step), CpuCores: &value, TxBytesPerSecond: &value,
			})
		}

		return s
	}

	for targets := time.Duration(0); targets < 10*time.Second; targets += 500 * time.Millisecond {
		for links := time.Duration(0); links < 10*time.Second; links += 500 * time.Millisecond {
			first, second := series(0), series(targets)
			second.Target = "b"

			node := report.Node{Name: "a", Actions: []report.Action{{At: applied, Kind: "apply"}, {At: released, Kind: "release"}}}
			node.Targets, node.Links = reportPoints(nil, &guardv1alpha1.History{Series: []*guardv1alpha1.Series{first, second}, Links: series(links)})
			row := report.Build([]report.Node{node}, nil).Rows[0]

			for _, period := range []struct {
				usage report.Usage
				want  float64
			}{{row.Before, 2}, {row.Under, 0.5}, {row.After, 2}} {
				require.InDelta(t, 2*period.want, period.usage.CPU, 1e-9, "the second target %s, links %s later", targets, links)
				require.InDelta(t, 2*period.want, period.usage.TX, 1e-9, "the second target %s, links %s later", targets, links)
				require.InDelta(t, period.want, period.usage.NodeTX, 1e-9, "the second target %s, links %s later", targets, links)
			}
		}
	}
}

// TestJoined: an incident of the last hour is shown in steps of 10 s, what was before in minutes.
func TestJoined(t *testing.T) {
	start := time.Unix(1_000_000_000, 0).UTC()
	point := func(at, over time.Duration) report.Point { return report.Point{At: start.Add(at), Over: over} }

	minutes := []report.Point{point(1*time.Minute, time.Minute), point(2*time.Minute, time.Minute), point(3*time.Minute, time.Minute)}
	fine := []report.Point{point(130*time.Second, 10*time.Second), point(140*time.Second, 10*time.Second)}

	assert.Equal(t, slices.Concat(minutes[:2], fine), joined(slices.Clone(minutes), fine))
	assert.Equal(t, minutes, joined(slices.Clone(minutes), nil), "a guard without the last hour")

	fine = nil
	for end := 160 * time.Second; end < 4*time.Minute; end += 10 * time.Second {
		fine = append(fine, point(end, 10*time.Second))
	}

	assert.Equal(t, slices.Concat(minutes, fine[3:]), joined(slices.Clone(minutes), slices.Clone(fine)), "they begin within a minute")

	rounded := slices.Clone(minutes)
	for i := range rounded {
		rounded[i].Over -= time.Millisecond
	}

	assert.Equal(t, slices.Concat(rounded[:2], minutes[2:]), joined(slices.Clone(rounded), slices.Clone(minutes[2:])))
	fine = []report.Point{point(130*time.Second, 10*time.Second)}
	assert.Equal(t, fine, joined(nil, fine))
}
