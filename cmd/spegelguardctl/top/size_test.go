// SPDX-License-Identifier: MPL-2.0

package top

import (
	"math"
	"strings"
	"testing"
	"time"
	"unicode"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

var anyKey = rapid.SampledFrom([]string{
	"down", "up", "tab", "shift+tab", "s", "S", "r", "g", "G", "pgup", "pgdown", "/", "?", "esc", "enter", "backspace", "x", "節",
})

// anyNumber is what a node may send as a value.
var anyNumber = rapid.OneOf(
	rapid.Float64(), rapid.Float64Range(0, 2),
	rapid.SampledFrom([]float64{0, -1, 1e-300, 1e17, 1e308, math.Inf(1), math.Inf(-1), math.NaN(), math.MaxFloat64}),
)

func anyStatus(t *rapid.T) *client.Status {
	r := func() resources.Reading {
		reading := resources.Measured(anyNumber.Draw(t, "value"))
		reading.Provenance = rapid.SampledFrom([]string{"measured", "derived", "warming", "unavailable", "\x1b[31m"}).Draw(t, "provenance")
		reading.Reason = rapid.String().Draw(t, "reason")

		return reading
	}

	shown := limited(usage(0.5))
	shown.ID = rapid.SampledFrom([]string{target, "", "other"}).Draw(t, "id")
	shown.CPU, shown.TXBytesPerSecond, shown.RXBytesPerSecond, shown.CPUPressure, shown.Application.AllocBytesPerSecond = r(), r(), r(), r(), r()
	shown.Rules[0].Threshold = anyNumber.Draw(t, "threshold")
	shown.Rules[0].Name = rapid.String().Draw(t, "rule")
	shown.Ceiling.ReadBack = rapid.SampledFrom([]string{"50001 100000", "max 100000", "1 0", "1e308 1e-300", "NaN 1", ""}).Draw(t, "ceiling")

	s := status(rapid.OneOf(rapid.SampledFrom(resources.GuardStates()), rapid.String()).Draw(t, "state"), shown)
	s.Message = rapid.String().Draw(t, "message")

	return s
}

// TestView_FitsEverySize: whatever the terminal and whatever nodes send, nothing is wider or higher than the terminal, and every
// character is printable.
func TestView_FitsEverySize(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := fleet(rapid.SliceOfN(rapid.OneOf(rapid.StringMatching(`[a-zäß日.:-]{0,60}`), rapid.String()), 0, 30).Draw(t, "names")...)
		nodes := m.nodes

		for i := range rapid.IntRange(0, 4).Draw(t, "responses") {
			for _, n := range nodes {
				msg := statusMsg{node: n, at: began.Add(time.Duration(i*rapid.SampledFrom([]int{1, 10, 100}).Draw(t, "seconds")) * time.Second)}

				if rapid.IntRange(0, 3).Draw(t, "down") == 0 {
					msg.err = errDown
				} else {
					msg.status = anyStatus(t)
				}

				m = updated(m, msg)
			}
		}

		for _, n := range nodes {
			m = updated(m, historyMsg{node: n, history: history(began.Add(time.Duration(rapid.Int64().Draw(t, "clock"))), anyNumber.Draw(t, "before"), anyNumber.Draw(t, "after"), 3)})
		}

		m = updated(m, tea.WindowSizeMsg{Width: rapid.IntRange(1, 250).Draw(t, "width"), Height: rapid.IntRange(1, 250).Draw(t, "height")})
		m = press(m, rapid.SliceOfN(anyKey, 0, 8).Draw(t, "keys")...)
		view := m.View()
		lines := strings.Split(view, "\n")

		if len(lines) > m.height {
			t.Fatalf("%d lines", len(lines))
		}

		for _, line := range lines {
			if lipgloss.Width(line) > m.width {
				t.Fatalf("%d columns: %q", lipgloss.Width(line), line)
			}
		}

		for _, r := range view {
			if !unicode.IsPrint(r) && r != '\n' {
				t.Fatalf("%q in %q", r, view)
			}
		}
	})
}

// TestView_FitsEverySmallSize goes through all small sizes.
func TestView_FitsEverySmallSize(t *testing.T) {
	m := shown("a", "b", "worker-3.eu-central-1.example.com")

	for width := range 90 {
		for _, height := range []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15} {
			for _, keys := range []string{"g", "?", "/"} {
				sized := updated(press(m, keys), tea.WindowSizeMsg{Width: width, Height: height})
				lines := strings.Split(sized.View(), "\n")
				require.LessOrEqual(t, len(lines), max(1, height), "%d x %d", width, height)

				for _, line := range lines {
					require.LessOrEqual(t, lipgloss.Width(line), width, "%d x %d: %q", width, height, line)
				}
			}
		}
	}
}

func TestShortened_KeepsBothEnds(t *testing.T) {
	for _, test := range []struct {
		name  string
		width int
		want  string
	}{
		{"talos-prod-2", 12, "talos-prod-2"},
		{"talos-prod-worker-eu-1a-07", 12, "talos-…1a-07"},
		{"talos-prod-worker-eu-1a-07", 13, "talos-…-1a-07"},
		{"日本日本日本日本", 9, "日本…日本"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := shortened(test.name, test.width)
			assert.LessOrEqual(t, lipgloss.Width(got), test.width)
			assert.Equal(t, test.want, got)
		})
	}
}
