// SPDX-License-Identifier: MPL-2.0

package top

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/test/golden"
)

// scenes are the states of the second node of three.
var scenes = []struct {
	name string
	// before and after are the cores of the history and of its last minutes; both are 0 for a node without a history.
	before, after float64
	minutes       int
	status        *client.Status
	message       string
	err           error
}{
	{name: "ok", before: 0.25, after: 0.28, minutes: 3, status: status(resources.StateOK, usage(0.28))},
	{name: "pending", before: 0.25, after: 1.8, minutes: 4, status: status(resources.StatePending, pending(usage(1.8)))},
	{name: "firing", before: 0.25, after: 1.8, minutes: 11, status: status(resources.StateFiring, usage(1.8)), message: "cpu 1800m above 550m for 10m, mode observe"},
	{name: "throttled", before: 1.8, after: 0.5, minutes: 4, status: status(resources.StateThrottled, limited(usage(0.5))), message: "cpu 1800m above 550m for 10m"},
	{name: "releasing", before: 0.5, after: 0.2, minutes: 4, status: status(resources.StateReleasing, limited(usage(0.2))), message: "releases in 6m"},
	{name: "probing", before: 0.5, after: 1.8, minutes: 1, status: status(resources.StateProbing, usage(1.8)), message: "lifted for 30s to measure the demand"},
	{name: "paused", before: 0.25, after: 1.8, minutes: 4, status: status(resources.StatePaused, usage(1.8)), message: "paused for 50m by anna"},
	{name: "unavailable", before: 0.25, after: 0.25, minutes: 1, status: status(resources.StateUnavailable, unavailable(usage(0.25))), message: "networkTx is unavailable"},
	{name: "warming", status: status(resources.StateOK, warming())},
	{name: "no-target", status: status(resources.StateNoTarget), message: "no container matches"},
	{name: "unreachable", before: 0.25, after: 1.8, minutes: 4, status: status(resources.StateOK, usage(1.8)), err: errDown},
	{name: "unreachable-since-start", err: errDown},
	{name: "asking"},
}

func pending(t client.TargetStatus) client.TargetStatus {
	t.Rules[0].State, t.Rules[0].TripsIn = "pending", 6*time.Minute

	return t
}

// unavailable makes the network and the program's own metrics unavailable.
func unavailable(t client.TargetStatus) client.TargetStatus {
	t.TXBytesPerSecond, t.RXBytesPerSecond = resources.Unavailable("host network"), resources.Unavailable("host network")
	t.Application.AllocBytesPerSecond = resources.Unavailable("metrics: connection refused")
	t.Rules[1].State, t.Rules[1].Reason = "unavailable", "host network"

	return t
}

func warming() client.TargetStatus {
	w := resources.Warming()

	return client.TargetStatus{ID: target, TargetStatsSpec: resources.TargetStatsSpec{
		CPU: w, TXBytesPerSecond: w, RXBytesPerSecond: w, ThrottledRatio: w, CPUPressure: w, Application: resources.ApplicationStats{AllocBytesPerSecond: w},
	}}
}

// TestView_GoldenScreens: every signal in every state, on terminals of 40 to 200 columns.
func TestView_GoldenScreens(t *testing.T) {
	for _, scene := range scenes {
		t.Run(scene.name, func(t *testing.T) {
			m := fleet("worker-1", "worker-2", "worker-3.eu-central-1.example.com")
			quiet, node, other := m.nodes[0], m.nodes[1], m.nodes[2]

			m = updated(m, statusMsg{node: quiet, at: began, status: status(resources.StateOK, usage(0.25))})
			m = updated(m, statusMsg{node: other, at: began, status: status(resources.StateOK, usage(0.265))})

			if scene.status != nil {
				scene.status.Message = scene.message

				m = updated(m, statusMsg{node: node, at: began, status: scene.status})
				if scene.before > 0 {
					m = updated(m, historyMsg{node: node, history: history(began, scene.before, scene.after, scene.minutes)})
				}
			}

			if scene.err != nil {
				m = updated(m, statusMsg{node: node, at: began.Add(2 * time.Minute), err: scene.err})
			}

			m.selected = node

			var text strings.Builder

			for _, width := range []int{40, 80, 120, 200} {
				for i, signal := range signals {
					m.signal = i
					m = updated(m, tea.WindowSizeMsg{Width: width, Height: 18})
					fmt.Fprintf(&text, "--- %s, %d columns\n", signal.signal, width)

					for line := range strings.SplitSeq(m.View(), "\n") {
						require.LessOrEqual(t, lipgloss.Width(line), width)
						text.WriteString(strings.TrimRight(line, " ") + "\n")
					}
				}
			}

			golden.Compare(t, filepath.Join("testdata", scene.name+".golden"), text.String())
		})
	}
}

// TestView_GoldenHelp: the help has a line for each key.
func TestView_GoldenHelp(t *testing.T) {
	golden.Compare(t, "testdata/help.golden", press(shown("a"), "?").View()+"\n")
}
