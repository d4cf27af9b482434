// SPDX-License-Identifier: MPL-2.0

package top

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// braille returns the columns of a chart with a curve.
func braille(lines []string) []int {
	found := map[int]bool{}

	for _, line := range lines {
		for x, r := range []rune(line) {
			if r > 0x2800 && r <= 0x28ff {
				found[x] = true
			}
		}
	}

	var columns []int
	for x := range found {
		columns = append(columns, x)
	}

	slices.Sort(columns)

	return columns
}

// TestChart_DrawsEverySeries: a curve, a threshold and a ceiling are drawn whichever of them there are.
func TestChart_DrawsEverySeries(t *testing.T) {
	values := func(v ...float64) []float64 { return v }
	constant := slices.Repeat(values(0.3), 60)

	for _, test := range []struct {
		name               string
		values             []float64
		threshold, ceiling bool
	}{
		{"usage alone", constant, false, false},
		{"with a threshold", constant, true, false},
		{"with a ceiling", constant, false, true},
		{"with both", constant, true, true},
		{"one point", values(0.3), true, true},
		{"two points", values(0.3, 0.4), false, false},
		{"zeros", slices.Repeat(values(0), 60), false, false},
		{"zeros with a threshold", slices.Repeat(values(0), 60), true, false},
		{"gaps", values(0.3, math.NaN(), 0.3, math.NaN(), 0.3), false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := fleet("a")
			n := m.nodes[0]
			shown := client.TargetStatus{ID: target}

			if test.threshold {
				shown.Rules = []client.Rule{{RuleStatusSpec: resources.RuleStatusSpec{Signal: "cpu", Threshold: 0.55}}}
			}

			if test.ceiling {
				shown = limited(shown)
			}

			for i, v := range test.values {
				shown.CPU = resources.Measured(v)
				if math.IsNaN(v) {
					shown.CPU = resources.Unavailable("gone")
				}

				m = updated(m, statusMsg{node: n, at: began.Add(time.Duration(i) * 10 * time.Second), status: status("ok", shown)})
			}

			lines := m.chart(n, 80, 12)
			text := strings.Join(lines, "\n")

			require.Len(t, lines, 12)
			assert.NotEmpty(t, braille(lines), text)
			assert.Equal(t, test.threshold, strings.Contains(text, "550m┤"), text)
			assert.Equal(t, test.threshold, strings.ContainsRune(text, thresholdRune), text)
			assert.Equal(t, test.ceiling, strings.Contains(text, "500m┤"), text)
			assert.Equal(t, test.ceiling, strings.ContainsRune(text, ceilingRune), text)
		})
	}
}

// TestChart_BreaksAtGaps: what was not measured is not drawn.
func TestChart_BreaksAtGaps(t *testing.T) {
	for _, test := range []struct {
		name   string
		during func(client.TargetStatus) (client.TargetStatus, error)
	}{
		{"unavailable", func(t client.TargetStatus) (client.TargetStatus, error) {
			t.CPU = resources.Unavailable("gone")

			return t, nil
		}},
		{"not a number", func(t client.TargetStatus) (client.TargetStatus, error) {
			t.CPU = resources.Measured(math.NaN())

			return t, nil
		}},
		{"unreachable", func(t client.TargetStatus) (client.TargetStatus, error) { return t, errDown }},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := fleet("a")

			for second := range 600 {
				msg := statusMsg{node: m.nodes[0], at: began.Add(time.Duration(second) * time.Second)}
				shown := usage(0.3)

				if second >= 200 && second < 400 {
					shown, msg.err = test.during(shown)
				}

				msg.status = status("ok", shown)
				m = updated(m, msg)
			}

			lines := m.chart(m.nodes[0], 100, 10)
			columns := braille(lines)
			width := columns[len(columns)-1] - columns[0]

			assert.InDelta(t, 2*width/3, len(columns), 4, strings.Join(lines, "\n"))
		})
	}
}

// TestChart_SaysWhyItIsEmpty: a signal without a value has a reason instead of a curve.
func TestChart_SaysWhyItIsEmpty(t *testing.T) {
	old := fleet("a")
	old = updated(old, statusMsg{node: old.nodes[0], at: began, status: status("ok", usage(0.3))})
	old.now = began.Add(time.Hour)

	asked := func(s *client.Status) Model {
		m := fleet("a")

		return updated(m, statusMsg{node: m.nodes[0], at: began, status: s})
	}

	for _, test := range []struct {
		model Model
		why   string
	}{
		{fleet("a"), "no response yet"},
		{asked(status("no-target")), "no target on this node"},
		{asked(status("ok", warming())), "warming: a rate needs two readings"},
		{asked(status("ok", client.TargetStatus{ID: target, TargetStatsSpec: resources.TargetStatsSpec{CPU: resources.Unavailable("cpu.stat: no such file")}})), "unavailable: cpu.stat: no such file"},
		{old, "no value in the last 15 minutes"},
	} {
		t.Run(test.why, func(t *testing.T) {
			lines := test.model.chart(test.model.nodes[0], 80, 8)
			assert.Len(t, lines, 8)
			assert.Contains(t, strings.Join(lines, "\n"), test.why)
		})
	}
}

// TestChart_ShowsUsageAgainstCeiling: usage that stands at the ceiling hides neither the ceiling's value nor that of a threshold
// close to it.
func TestChart_ShowsUsageAgainstCeiling(t *testing.T) {
	m := fleet("a")
	m = updated(m, statusMsg{node: m.nodes[0], at: began, status: status("throttled", limited(usage(0.5)))})
	m = updated(m, historyMsg{node: m.nodes[0], history: history(began, 0.5, 0.5, 1)})

	for _, height := range []int{4, 5, 8, 20} {
		text := strings.Join(m.chart(m.nodes[0], 60, height), "\n")
		assert.Contains(t, text, "500m┤", "%d lines", height)
		assert.Contains(t, text, "550m┤", "%d lines", height)
	}
}

// TestNode_CeilingHasPlaceOnAxis: a ceiling that is not a number gave the axis a top that is none, and a large value a line without end.
func TestNode_CeilingHasPlaceOnAxis(t *testing.T) {
	for text, want := range map[string]float64{
		"50001 100000": 0.50001, "max 100000": 0, "NaN 1": 0, "Inf 1": 0, "1e308 1e-300": 0, "18446744073709551615 1": 0,
	} {
		t.Run(text, func(t *testing.T) {
			shown := limited(usage(1e12))
			shown.Ceiling.ReadBack = text

			m := fleet("a")
			n := m.nodes[0]

			for i := range 3 {
				shown.CPU = resources.Measured(float64(i) * 1e12)
				m = updated(m, statusMsg{node: n, at: began.Add(time.Duration(i) * 10 * time.Second), status: status("ok", shown)})
			}

			require.InDelta(t, want, n.ceiling(), 0)
			assert.NotEmpty(t, braille(m.chart(n, 80, 12)))
		})
	}
}

// TestChart_LevelsHideNoMark: of two levels on one line the one moves that hides no mark of the axis.
func TestChart_LevelsHideNoMark(t *testing.T) {
	m := fleet("a")
	m = updated(m, statusMsg{node: m.nodes[0], at: began, status: status("throttled", limited(usage(1.8)))})

	text := strings.Join(m.chart(m.nodes[0], 80, 9), "\n")
	assert.Contains(t, text, "1000m│")
	assert.Contains(t, text, "550m┤")
	assert.Contains(t, text, "500m┤")
}

func TestSparkline_ShowsPeriod(t *testing.T) {
	m := fleet("a")
	m = updated(m, statusMsg{node: m.nodes[0], at: began, status: status("ok", usage(0.55))})
	m = updated(m, historyMsg{node: m.nodes[0], history: history(began, 0.1, 0.55, 5)})

	assert.Equal(t, "▂▂▂▂▂▂▂█████", m.sparkline(m.nodes[0]))

	m.signal = 5 // the guard keeps no history of it
	assert.Equal(t, "···········█", m.sparkline(m.nodes[0]))
}

func TestChart_MarksAreRound(t *testing.T) {
	for _, test := range []struct {
		cores  float64
		height int
		want   []string
	}{
		{0.37, 10, []string{"400m", "300m", "200m", "100m", "0m"}},
		{0.74, 10, []string{"800m", "600m", "400m", "200m", "0m"}},
		{1.48, 22, []string{"1500m", "1000m", "500m", "0m"}},
		{1.48, 6, []string{"2000m", "1500m", "1000m", "500m", "0m"}},
		{0.0004, 10, []string{"2m", "1m", "0m"}},
		{0, 10, []string{"1000m", "750m", "500m", "250m", "0m"}},
	} {
		t.Run(fmt.Sprintf("%v cores in %d lines", test.cores, test.height), func(t *testing.T) {
			m := fleet("a")
			shown := client.TargetStatus{ID: target, TargetStatsSpec: resources.TargetStatsSpec{CPU: resources.Measured(test.cores)}}
			m = updated(m, statusMsg{node: m.nodes[0], at: began, status: status("ok", shown)})

			var got []string

			for _, line := range m.chart(m.nodes[0], 60, test.height) {
				if mark, _, ok := strings.Cut(line, "│"); ok && strings.TrimSpace(mark) != "" {
					got = append(got, strings.TrimSpace(mark))
				}

				if mark, _, ok := strings.Cut(line, "└"); ok {
					got = append(got, strings.TrimSpace(mark))
				}
			}

			assert.Equal(t, test.want, got)
		})
	}
}
