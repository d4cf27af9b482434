// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"encoding/csv"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
	"github.com/spegel-guard/spegel-guard/service/fleettest"
)

// aDay has a wave of CPU in steps of a minute, a restart of the service after 15 hours that took two, and no allocation.
func aDay() *guardv1alpha1.History {
	series := &guardv1alpha1.Series{Target: "spegel/spegel-2x7k2/registry"}
	links := &guardv1alpha1.Series{}

	for step := range 24 * 60 {
		if step >= 15*60 && step < 17*60 {
			continue
		}

		cpu := 1 + math.Sin(float64(step)/120)
		at, over := timestamppb.New(fleettest.Now.Add(time.Duration(step)*time.Minute)), durationpb.New(time.Minute)
		tx := 1.4e6

		series.Points = append(series.Points, &guardv1alpha1.Point{At: at, Over: over, CpuCores: &cpu, TxBytesPerSecond: &tx})

		// For an hour nobody could read the links.
		if traffic := cpu * 1e6; step < 5*60 || step >= 6*60 {
			links.Points = append(links.Points, &guardv1alpha1.Point{At: at, Over: over, TxBytesPerSecond: &traffic})
		} else {
			links.Points = append(links.Points, &guardv1alpha1.Point{At: at, Over: over})
		}
	}

	return &guardv1alpha1.History{Series: []*guardv1alpha1.Series{series}, Links: links}
}

// The axis has times of the user's zone.
var clocks = regexp.MustCompile(`\d\d:\d\d`)

func TestHistory_GoldenPlot(t *testing.T) {
	var drawn strings.Builder

	for _, width := range []int{40, 100} {
		p := &plotPrinter{w: &drawn, width: width}
		require.NoError(t, p.Print(output.Item{Node: "talos-prod-2", Value: aDay()}, output.Item{Node: "talos-prod-3", Value: &guardv1alpha1.History{}}))
	}

	compareGolden(t, "history-plot", clocks.ReplaceAllString(drawn.String(), "hh:mm"))

	c := newCluster(t)
	got := c.run("history", "-n", "talos-prod-2,talos-prod-3", "--since", "1h", "--plot")
	require.Zero(t, got.code, got.stderr)
	assert.Equal(t, 8, strings.Count(got.stdout, ", at most "), "three signals and the node's TX of two nodes")
	assert.Contains(t, got.stdout, "talos-prod-2  (node)  TX, at most 1.9 MB/s")

	got = c.run("history", "--plot", "-o", "json")
	assert.Contains(t, got.stderr, "--plot and --output exclude each other")
}

// TestHistory_DrawsAnything: few points, equal ones and zeros.
func TestHistory_DrawsAnything(t *testing.T) {
	for name, values := range map[string][]float64{"one": {1}, "zeros": {0, 0, 0}, "equal": {2, 2}} {
		t.Run(name, func(t *testing.T) {
			series := &guardv1alpha1.Series{Target: "a/b/c"}

			for i, v := range values {
				series.Points = append(series.Points, &guardv1alpha1.Point{
					At: timestamppb.New(fleettest.Now.Add(time.Duration(i) * 10 * time.Second)), Over: durationpb.New(10 * time.Second), CpuCores: &v,
				})
			}

			for _, width := range []int{1, 20, 300} {
				var drawn strings.Builder

				p := &plotPrinter{w: &drawn, width: width}
				require.NoError(t, p.Print(output.Item{Node: "n", Value: &guardv1alpha1.History{Series: []*guardv1alpha1.Series{series}}}))
				assert.Contains(t, drawn.String(), "CPU, at most")
			}
		})
	}
}

// TestHistory_DrawsHostilePoints: a node decides what it sends. Values without a place on an axis, and points that go back in time, are
// left out.
func TestHistory_DrawsHostilePoints(t *testing.T) {
	type sent struct {
		at    time.Time
		value float64
	}

	at, year := fleettest.Now, 365*24*time.Hour

	for name, points := range map[string][]sent{
		"infinite":     {{at, 1}, {at.Add(10 * time.Second), math.Inf(1)}, {at.Add(20 * time.Second), math.Inf(-1)}},
		"huge":         {{at, 1}, {at.Add(10 * time.Second), math.MaxFloat64}},
		"negative":     {{at, 1}, {at.Add(10 * time.Second), -1e15}, {at.Add(20 * time.Second), -math.MaxFloat64}},
		"no number":    {{at, 1}, {at.Add(10 * time.Second), math.NaN()}},
		"back in time": {{at, 1}, {at.Add(-200 * year), 1}, {at, 1}, {at.Add(-time.Hour), 1}},
	} {
		t.Run(name, func(t *testing.T) {
			series := &guardv1alpha1.Series{Target: "a/b/c"}

			for _, p := range points {
				series.Points = append(series.Points, &guardv1alpha1.Point{
					At: timestamppb.New(p.at), Over: durationpb.New(10 * time.Second), CpuCores: &p.value,
				})
			}

			parts, highest := partsOf(series.GetPoints(), config.SignalCPU)
			require.Len(t, parts, 1)
			assert.Len(t, parts[0], 1)
			assert.InDelta(t, 1, highest, 0)

			var drawn strings.Builder

			require.NoError(t, (&plotPrinter{w: &drawn, width: 80}).Print(output.Item{Node: "n", Value: &guardv1alpha1.History{Series: []*guardv1alpha1.Series{series}}}))
			assert.Contains(t, drawn.String(), "CPU, at most 1000m\n")
		})
	}
}

func TestHistory_GoldenCSV(t *testing.T) {
	c := newCluster(t)

	got := c.run("history", "-n", "talos-prod-2,talos-prod-3", "--since", "25s", "-o", "csv")
	require.Zero(t, got.code, got.stderr)
	compareGolden(t, "history-csv", scrubbed(got.stdout))

	records, err := csv.NewReader(strings.NewReader(got.stdout)).ReadAll()
	require.NoError(t, err)
	assert.Len(t, records, 1+3*2*2, "three points of two series of two nodes")
	assert.Equal(t, csvTitles, records[0], "once")

	at, err := time.Parse(time.RFC3339, records[1][2])
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now(), at, time.Hour)
	assert.Equal(t, len(records), strings.Count(got.stdout, "\r\n"), "lines end as RFC 4180 says")

	// The target alone.
	got = c.run("history", "-n", "talos-prod-2", "--since", "25s", "-o", "csv", "--target", fleettest.TargetOf("talos-prod-2"))
	require.Zero(t, got.code, got.stderr)
	assert.Contains(t, got.stdout, fleettest.TargetOf("talos-prod-2"))
	assert.NotContains(t, got.stdout, nodeTarget)
}

func TestHistory_CSVOfUnavailableValues(t *testing.T) {
	var text strings.Builder

	zero := 0.0
	require.NoError(t, newCSV(&text).Print(output.Item{Node: "n", Value: &guardv1alpha1.History{Series: []*guardv1alpha1.Series{{
		Target: "a,\"b\"\x1b", Points: []*guardv1alpha1.Point{{Over: durationpb.New(60 * time.Second), CpuCores: &zero}},
	}}}}))

	_, row, _ := strings.Cut(text.String(), "\r\n")
	assert.Equal(t, "n,\"a,\"\"b\"\"\",,60,0,,,,\r\n", row)
}

// TestCSVText: a hostile node must not have a spreadsheet run a formula.
func TestCSVText(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "a/b/c": "a/b/c", "(node)": "(node)", "=HYPERLINK(\"http://x\")": "'=HYPERLINK(\"http://x\")", "+1": "'+1", "-1": "'-1", "@SUM(1)": "'@SUM(1)",
		"\x20\t=1": "'=1", "\x1b=1": "'=1",
	} {
		t.Run(text, func(t *testing.T) { assert.Equal(t, want, csvText(text)) })
	}
}
