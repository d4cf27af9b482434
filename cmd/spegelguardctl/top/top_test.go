// SPDX-License-Identifier: MPL-2.0

package top

import (
	"errors"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

var began = time.Date(2026, 1, 5, 3, 4, 5, 0, time.UTC)

func status(state string, cores float64) *client.Status {
	target := client.TargetStatus{
		ID: "spegel/spegel-1/registry",
		TargetStatsSpec: resources.TargetStatsSpec{
			CPU: resources.Measured(cores), TXBytesPerSecond: resources.Measured(cores * 1e6),
			Application: resources.ApplicationStats{AllocBytesPerSecond: resources.Warming()},
		},
		Rules: []client.Rule{{Name: "SpegelHighCPU", RuleStatusSpec: resources.RuleStatusSpec{
			Signal: "cpu", State: "pending", Value: cores, Threshold: 0.4, TripsIn: time.Minute,
		}}},
	}

	if state == resources.StateThrottled {
		target.Ceiling = &resources.CeilingStatusSpec{State: resources.CeilingApplied, ReadBack: "50001 100000", Rule: "SpegelHighCPU"}
	}

	return &client.Status{Guard: client.Guard{State: state, Message: "why"}, Targets: []client.TargetStatus{target}}
}

// shown is a model of some nodes that have been asked a few times.
func shown(names ...string) Model {
	m := Model{ctx: nil, interval: time.Second, width: 100, height: 30, now: began}

	for i, name := range names {
		m.nodes = append(m.nodes, &node{name: name, place: i})
	}

	for second := range 20 {
		for i, n := range m.nodes {
			state := resources.StateOK
			if i == 1 {
				state = resources.StateThrottled
			}

			m = updated(m, statusMsg{node: n, at: began.Add(time.Duration(second) * time.Second), status: status(state, 0.1*float64(i+1))})
		}
	}

	return m
}

func updated(m Model, msg tea.Msg) Model {
	next, _ := m.Update(msg)

	return next.(Model) //nolint:forcetypeassert // it is what Update returns
}

func press(m Model, keys ...string) Model {
	for _, key := range keys {
		msg := tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(key)}

		switch key {
		case "down":
			msg = tea.KeyMsg{Type: tea.KeyDown}
		case "up":
			msg = tea.KeyMsg{Type: tea.KeyUp}
		case "tab":
			msg = tea.KeyMsg{Type: tea.KeyTab}
		}

		m = updated(m, msg)
	}

	return m
}

func TestModel_HandlesKeys(t *testing.T) {
	m := shown("a", "b", "c")

	assert.Contains(t, m.View(), "CPU of a 100m  ┄ threshold 400m")
	assert.NotContains(t, m.View(), "ceiling 500m")
	assert.Contains(t, press(m, "down").View(), "CPU of b 200m  ┄ threshold 400m  ━ ceiling 500m")
	assert.Contains(t, press(m, "G").View(), "CPU of c")
	assert.Contains(t, press(m, "up", "j", "j", "j", "j", "k").View(), "CPU of b")
	assert.Contains(t, press(m, "tab").View(), "TX of a 100 kB/s")
	assert.Contains(t, press(m, "tab", "tab").View(), "ALLOC of a\n", "a value that is not known is not shown")
	assert.Contains(t, press(m, "tab", "tab", "tab").View(), "CPU of a")
	assert.Contains(t, m.View(), "SpegelHighCPU pending (trips in 1m) why")

	// By use the greatest is first, and the same node stays selected.
	sorted := press(m, "s")
	assert.Equal(t, []string{"c", "b", "a"}, []string{sorted.nodes[0].name, sorted.nodes[1].name, sorted.nodes[2].name})
	assert.Contains(t, sorted.View(), "CPU of a")

	for _, key := range []string{"q"} {
		_, quit := m.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(key)})
		require.NotNil(t, quit)
		assert.Equal(t, tea.Quit(), quit())
	}
}

func TestModel_KeepsTheStatusOfALostNode(t *testing.T) {
	m := shown("a", "b")
	m = updated(m, statusMsg{node: m.nodes[0], at: began.Add(time.Minute), err: errors.New("refused")})

	assert.Contains(t, m.View(), "1 unreachable")
	assert.Contains(t, m.View(), "a               unreachable     100m")
	assert.Contains(t, m.View(), "refused")
}

func TestModel_PutsHistoryFirst(t *testing.T) {
	m := shown("a")
	cores := 0.7
	at := func(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(began.Add(d)) }

	m = updated(m, historyMsg{node: m.nodes[0], history: &guardv1alpha1.History{Series: []*guardv1alpha1.Series{
		{Target: "other", Points: []*guardv1alpha1.Point{{At: at(-time.Minute)}}},
		{Target: "spegel/spegel-1/registry", Points: []*guardv1alpha1.Point{{At: at(-time.Minute), CpuCores: &cores}, {At: at(5 * time.Second), CpuCores: &cores}}},
	}}})

	points := m.nodes[0].points
	require.Len(t, points, 21)
	assert.InDelta(t, 0.7, points[0].values[0], 1e-9)
	assert.False(t, points[0].known[2])

	// After a quarter of an hour it is forgotten.
	m = updated(m, statusMsg{node: m.nodes[0], at: began.Add(keep), status: status("ok", 1)})
	assert.Len(t, m.nodes[0].points, 21)
}

// TestModel_FitsEverySize: whatever the terminal, nothing is wider or higher than it.
func TestModel_FitsEverySize(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfN(rapid.StringMatching(`[a-zäß日.:-]{0,40}`), 1, 40).Draw(t, "names")
		m := shown(names...)
		m = press(m, rapid.SliceOfN(rapid.SampledFrom([]string{"down", "up", "tab", "s", "G"}), 0, 8).Draw(t, "keys")...)
		width, height := rapid.IntRange(1, 200).Draw(t, "width"), rapid.IntRange(1, 60).Draw(t, "height")
		m = updated(m, tea.WindowSizeMsg{Width: width, Height: height})

		lines := strings.Split(m.View(), "\n")
		if width >= 20 && height > fixed {
			require.LessOrEqual(t, len(lines), height)

			for _, line := range lines {
				require.LessOrEqual(t, lipgloss.Width(line), width, "%q", line)
			}

			require.Contains(t, lines[len(lines)-1], "↑↓ node")
		}
	})
}
