// SPDX-License-Identifier: MPL-2.0

package report_test

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/report"
)

// steady returns points of 10 s with a CPU usage, which end from..to after the start.
func steady(cores float64, from, to time.Duration) []report.Point {
	const step = 10 * time.Second

	var points []report.Point

	for end := from + step; end <= to; end += step {
		p := report.Point{At: start.Add(end), Over: step, Usage: report.Unmeasured()}
		p.CPU = cores
		points = append(points, p)
	}

	return points
}

// TestBuild_AddsUpTargets before a ceiling after ten minutes, wherever their points begin.
func TestBuild_AddsUpTargets(t *testing.T) {
	const whole = 10 * time.Minute

	for name, test := range map[string]struct {
		targets [][]report.Point
		want    float64
	}{
		"one":                       {[][]report.Point{steady(1, 0, whole)}, 1},
		"two":                       {[][]report.Point{steady(1, 0, whole), steady(0.5, 0, whole)}, 1.5},
		"two, 9 s apart":            {[][]report.Point{steady(1, 0, whole), steady(0.5, -time.Second, whole+9*time.Second)}, 1.5},
		"one for half of it":        {[][]report.Point{steady(1, 0, whole), steady(1, whole/2, whole)}, 1.5},
		"half of it, 9 s later":     {[][]report.Point{steady(1, 0, whole), steady(1, whole/2+9*time.Second, whole+9*time.Second)}, 1 + 291.0/600},
		"one that ended 9 s before": {[][]report.Point{steady(1, 0, whole), steady(1, -9*time.Second, whole-9*time.Second)}, 2},
		"one after another":         {[][]report.Point{steady(1, 0, whole/2), steady(2, whole/2, whole)}, 1.5},
		"a gap between them":        {[][]report.Point{steady(1, 0, whole/2), steady(2, whole*3/4, whole)}, 4.0 / 3},
		"one that is not over":      {[][]report.Point{steady(1, 0, whole), steady(5, whole-5*time.Second, whole+time.Minute)}, 1},
		"none":                      {nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			links := steady(0, 0, 2*whole)
			row := report.Build([]report.Node{{
				Name: "a", Targets: test.targets, Links: links, Actions: []report.Action{{At: start.Add(whole), Kind: "apply"}},
			}}, nil).Rows[0]

			if test.want == 0 {
				assert.True(t, math.IsNaN(row.Before.CPU))

				return
			}

			assert.InDelta(t, test.want, row.Before.CPU, 1e-9)
		})
	}
}

// TestHTML_DrawsTheSumOfTargets without dips, wherever their points end: a guard rounds the length of a minute to milliseconds.
func TestHTML_DrawsTheSumOfTargets(t *testing.T) {
	exact := steady(1, 0, time.Hour)
	rounded := minutes(1, 0, 24*time.Hour, 400*time.Microsecond)

	for _, first := range [][]report.Point{exact, rounded} {
		for _, offset := range []time.Duration{0, 200 * time.Microsecond, time.Second, 5 * time.Second, 9 * time.Second} {
			second := slices.Clone(first)
			for i := range second {
				second[i].At = second[i].At.Add(offset)
			}

			var html bytes.Buffer

			require.NoError(t, report.HTML(&html, report.Build([]report.Node{{Name: "a", Targets: [][]report.Point{first, second}}}, nil)))

			_, line, found := strings.Cut(html.String(), `<polyline points="`)
			require.True(t, found, "%s", html.String())

			line, _, _ = strings.Cut(line, `"`)
			heights := map[string]bool{}

			for _, point := range strings.Fields(line) {
				_, height, _ := strings.Cut(point, ",")
				heights[height] = true
			}

			assert.Len(t, heights, 1, "%s apart: %.200s", offset, line)
		}
	}
}

// minutes are longer than a minute by some time, and their length is rounded.
func minutes(cores float64, from, to, longer time.Duration) []report.Point {
	var points []report.Point

	for end := from + time.Minute + longer; end <= to; end += time.Minute + longer {
		p := report.Point{At: start.Add(end), Over: (time.Minute + longer).Round(time.Millisecond), Usage: report.Unmeasured()}
		p.CPU = cores
		points = append(points, p)
	}

	return points
}

// TestBuild_AddsUpTargetsOfShortCeilings, of which minutes are left only: a target without a whole one is not left out silently.
func TestBuild_AddsUpTargetsOfShortCeilings(t *testing.T) {
	ceiling := func(length time.Duration, targets ...[]report.Point) float64 {
		return report.Build([]report.Node{{Name: "a", Targets: targets, Actions: []report.Action{
			{At: start.Add(10 * time.Minute), Kind: "apply"}, {At: start.Add(10*time.Minute + length), Kind: "release"},
		}}}, nil).Rows[0].Under.CPU
	}

	first, second := minutes(1, 0, time.Hour, 0), minutes(0.5, 40*time.Second, time.Hour, 0)

	assert.InDelta(t, 1.5, ceiling(2*time.Minute, first, second), 1e-9, "each has a minute in it")
	assert.True(t, math.IsNaN(ceiling(90*time.Second, first, minutes(0.5, 59*time.Second, time.Hour, 0))), "the second one has none")
}

// TestBuild_AllocationOfTargetsThatWereScrapedAtDifferentTimes: the newest points of one wait for a scrape.
func TestBuild_AllocationOfTargetsThatWereScrapedAtDifferentTimes(t *testing.T) {
	points := func(bytes float64, scraped time.Duration) []report.Point {
		all := minutes(1, 0, 20*time.Minute, 0)

		for i := range all {
			if all[i].At.Sub(start) <= scraped {
				all[i].Allocation = bytes
			}
		}

		return all
	}

	under := func(first, second []report.Point) float64 {
		return report.Build([]report.Node{{Name: "a", Targets: [][]report.Point{first, second}, Actions: []report.Action{
			{At: start.Add(17 * time.Minute), Kind: "apply"},
		}}}, nil).Rows[0].Under.Allocation
	}

	assert.InDelta(t, 300, under(points(100, 20*time.Minute), points(200, 18*time.Minute)), 1e-9, "its average so far")
	assert.True(t, math.IsNaN(under(points(100, 20*time.Minute), points(200, 17*time.Minute))), "a part is not the sum")
}
