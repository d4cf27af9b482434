// SPDX-License-Identifier: MPL-2.0

package report_test

import (
	"bytes"
	"fmt"
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
		"one":                   {[][]report.Point{steady(1, 0, whole)}, 1},
		"two":                   {[][]report.Point{steady(1, 0, whole), steady(0.5, 0, whole)}, 1.5},
		"two, 9 s apart":        {[][]report.Point{steady(1, 0, whole), steady(0.5, -time.Second, whole+9*time.Second)}, 1.5},
		"one for half of it":    {[][]report.Point{steady(1, 0, whole), steady(1, whole/2, whole)}, 1.5},
		"half of it, 9 s later": {[][]report.Point{steady(1, 0, whole), steady(1, whole/2+9*time.Second, whole+9*time.Second)}, 1 + 291.0/600},
		"one after another":     {[][]report.Point{steady(1, 0, whole/2), steady(2, whole/2, whole)}, 1.5},
		"a gap between them":    {[][]report.Point{steady(1, 0, whole/2), steady(2, whole*3/4, whole)}, 4.0 / 3},
		"one that is not over":  {[][]report.Point{steady(1, 0, whole), steady(5, whole-5*time.Second, whole+time.Minute)}, 1},
		"none":                  {nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			links := steady(0, 0, 2*whole)
			row := report.Build([]report.Node{{
				Name: "a", Targets: test.targets, Links: links, Actions: []report.Action{{At: start.Add(whole), Kind: "apply"}},
			}}, nil).Rows[0]

			if test.want == 0 {
				assert.True(t, row.Before.CPU != row.Before.CPU, "not measured")

				return
			}

			assert.InDelta(t, test.want, row.Before.CPU, 1e-9)
		})
	}
}

// TestHTML_DrawsTheSumOfTargets without dips, wherever their points end.
func TestHTML_DrawsTheSumOfTargets(t *testing.T) {
	for offset := time.Duration(0); offset < 10*time.Second; offset += time.Second {
		var html bytes.Buffer

		require.NoError(t, report.HTML(&html, report.Build([]report.Node{{
			Name: "a", Targets: [][]report.Point{steady(1, 0, time.Hour), steady(1, offset, time.Hour+offset)},
		}}, nil)))

		_, line, found := strings.Cut(html.String(), `<polyline points="`)
		require.True(t, found, "%s", html.String())

		line, _, _ = strings.Cut(line, `"`)
		heights := map[string]int{}

		for _, point := range strings.Fields(line) {
			_, height, _ := strings.Cut(point, ",")
			heights[height]++
		}

		// Only at its ends one target is alone.
		assert.LessOrEqual(t, len(heights), 2, "%s", line)

		for height, times := range heights {
			assert.True(t, times <= 2 || times > 300, fmt.Sprint(offset, ": ", height, ": ", times))
		}
	}
}
