// SPDX-License-Identifier: MPL-2.0

package top

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/spegel-guard/spegel-guard/pkg/client"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

// names returns the nodes that are shown, in their order.
func names(m Model) string {
	var names []string

	for _, n := range m.shown() {
		names = append(names, n.name)
	}

	return strings.Join(names, " ")
}

func TestModel_SelectsNodes(t *testing.T) {
	m := shown("a", "b", "c")

	assert.Contains(t, m.View(), "CPU of c 300m", "the first row until a key is pressed")
	assert.Contains(t, press(m, "down").View(), "CPU of b 200m  ━ ceiling 500m  ┄ threshold 550m")
	assert.NotContains(t, m.View(), "ceiling 500m")

	for keys, want := range map[string]string{"G": "CPU of a", "up j j j j k": "CPU of b", "pgdown": "CPU of a", "G pgup": "CPU of c", "G g": "CPU of c"} {
		assert.Contains(t, press(m, strings.Split(keys, " ")...).View(), want, keys)
	}

	// The same node stays selected when the order changes.
	sorted := press(m, "j", "S")
	assert.Equal(t, "b a c", names(sorted), "by state")
	assert.Contains(t, sorted.View(), "CPU of b")
}

func TestModel_TurnsThroughSignals(t *testing.T) {
	m := press(shown("a", "b", "c"), "G")

	for _, want := range []string{"TX of a 80 kB/s", "ALLOC of a 480 MB/min", "THROTTLED of a 0 %", "RX of a 70 kB/s", "PRESSURE of a 0 %", "CPU of a 100m"} {
		m = press(m, "tab")
		assert.Contains(t, m.View(), want)
	}

	assert.Contains(t, press(m, "h").View(), "PRESSURE of a")
	assert.Contains(t, press(m, "shift+tab").View(), "PRESSURE of a")
	assert.Contains(t, press(m, "l").View(), "TX of a")
}

func TestModel_SortsByEveryColumn(t *testing.T) {
	m := shown("b", "a", "c")
	m = updated(m, statusMsg{node: m.named("c"), at: began.Add(time.Minute), status: status("no-target")})
	m.nodes = append(m.nodes, newNode(nil, "d", 3))

	for _, test := range []struct{ by, want, reversed string }{
		{"node", "a b c d", "d c b a"},
		{"state", "a c d b", "b d c a"}, // throttled, no-target, asking, ok
		{"cpu", "c a b d", "b a c d"},   // the last value of c; d has none
		{"tx", "c a b d", "b a c d"},
		{"throttled", "a b c d", "b c a d"},
	} {
		t.Run(test.by, func(t *testing.T) {
			for m.order.by != Column(test.by) {
				m = press(m, "s")
			}

			assert.Equal(t, test.want, names(m))
			assert.Contains(t, m.View(), "sort "+test.by+" "+m.order.arrow())
			assert.Equal(t, test.reversed, names(press(m, "r")))
			assert.NotEqual(t, m.order.arrow(), press(m, "r").order.arrow())
		})
	}
}

func TestModel_FiltersNodes(t *testing.T) {
	m := shown("prod-a", "prod-b", "stage-a")

	for _, test := range []struct{ keys, want, shows string }{
		{"/ s t a", "stage-a", "/sta█"},
		{"/ P R O D enter", "prod-b prod-a", "1/2  sort cpu ▼  /PROD"},
		{"/ t h r o t enter", "prod-b", "1/1  sort cpu ▼  /throt"},
		{"/ x q", "", "no node has \"xq\" in its name or state"},
		{"/ x q backspace backspace", "stage-a prod-b prod-a", "/█"},
		{"/ x ctrl+u enter", "stage-a prod-b prod-a", "1/3"},
		{"/ s t esc", "stage-a prod-b prod-a", "1/3"},
		{"/ s t enter esc", "stage-a prod-b prod-a", "1/3"},
		{"/ p r o d down enter", "prod-b prod-a", "2/2"},
		{"/ z enter down tab G pgup s", "", "0/0"},
		{"/stage", "stage-a", "/stage█"}, // in one read, as over a slow connection
		{"jj", "stage-a prod-b prod-a", "3/3"},
		{"/ \x1b[2J\u202e enter", "", "/[2J"},
	} {
		t.Run(test.keys, func(t *testing.T) {
			got := press(m, strings.Split(test.keys, " ")...)
			assert.Equal(t, test.want, names(got))
			assert.Contains(t, got.View(), test.shows)
		})
	}

	pasted := func(m Model, text string) Model {
		return updated(m, tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(text), Paste: true})
	}

	assert.Equal(t, "stage-a", names(pasted(press(m, "/"), "sta\x1bge")))
	assert.Equal(t, "stage-a prod-b prod-a", names(pasted(press(m, "/"), strings.Repeat("x", 1000))), "a long paste is not taken")
	assert.Equal(t, m.View(), pasted(m, "/stage").View(), "a paste is no command")
}

func TestModel_ShowsHelpAndQuits(t *testing.T) {
	m := shown("a")

	assert.Contains(t, press(m, "?").View(), "sort by the next column")
	assert.NotContains(t, press(m, "?", "q").View(), "sort by the next column")

	_, none := press(m, "?").Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("q")})
	assert.Nil(t, none, "the key closes the help")
	assert.Contains(t, press(m, "esc").View(), "CPU of a", "esc does not end the view")

	for name, test := range map[string]struct {
		model Model
		key   tea.KeyMsg
	}{
		"q":                    {m, tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("q")}},
		"ctrl+c":               {m, tea.KeyMsg{Type: tea.KeyCtrlC}},
		"ctrl+c in the help":   {press(m, "?"), tea.KeyMsg{Type: tea.KeyCtrlC}},
		"ctrl+c in the filter": {press(m, "/"), tea.KeyMsg{Type: tea.KeyCtrlC}},
	} {
		t.Run(name, func(t *testing.T) {
			_, cmd := test.model.Update(test.key)
			require.NotNil(t, cmd)
			assert.Equal(t, tea.Quit(), cmd())
		})
	}
}

// TestActions_AreDocumented: the documentation has the line of each key that the help has.
func TestActions_AreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../../docs/spegelguardctl.md")
	require.NoError(t, err)

	documented := strings.ReplaceAll(string(text), "`", "")

	bindings := []key.Binding{quit}
	for _, action := range actions {
		bindings = append(bindings, action.Binding)
	}

	for _, b := range bindings {
		assert.True(t, strings.Contains(documented, "| "+b.Help().Key+" | "+b.Help().Desc+" |"), b.Help())
	}
}

// TestModel_ScrollsLargeFleet: the selected one of a thousand nodes is always on the screen, with its position.
func TestModel_ScrollsLargeFleet(t *testing.T) {
	var fleet []string
	for i := range 1000 {
		fleet = append(fleet, fmt.Sprintf("node-%03d", i))
	}

	m := press(shown(fleet...), "s", "s", "s", "s", "s", "s") // by pressure, then by node
	require.Equal(t, ColumnNode, m.order.by)

	for keys, want := range map[string]string{
		"g": "1/1000", "G": "1000/1000", "j j": "3/1000", "pgdown": "14/1000", "G k": "999/1000", "G pgup pgup": "976/1000",
	} {
		view := press(m, strings.Split("g "+keys, " ")...).View()
		place := strings.Split(want, "/")[0]

		var number int

		fmt.Sscan(place, &number)

		assert.Contains(t, view, want, keys)
		assert.Contains(t, view, fmt.Sprintf(">node-%03d", number-1), keys)
	}
}

func TestModel_KeepsStatusOfLostNode(t *testing.T) {
	m := shown("a", "b")
	m = updated(m, statusMsg{node: m.named("b"), at: began.Add(2 * time.Minute), err: errDown})

	assert.Contains(t, m.View(), "2 nodes: 1 unreachable, 1 ok")
	assert.Regexp(t, `>b +unreachable +200m`, m.View())
	assert.Contains(t, m.View(), "CPU of b 200m 1m41s ago")
	assert.Contains(t, m.View(), "connection refused")

	m = updated(m, statusMsg{node: m.named("b"), at: began.Add(2 * time.Minute), err: errors.New("permission denied")})
	assert.Contains(t, m.View(), "1 failed, 1 ok", "it was reached")
}

func TestModel_PutsHistoryFirst(t *testing.T) {
	m := shown("a")
	cores := 0.7
	at := func(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(began.Add(d)) }

	m = updated(m, historyMsg{node: m.nodes[0], history: &guardv1alpha1.History{Series: []*guardv1alpha1.Series{
		{Target: "other", Points: []*guardv1alpha1.Point{{At: at(-time.Minute)}}},
		{Target: target, Points: []*guardv1alpha1.Point{{At: at(-time.Minute), CpuCores: &cores}, {At: at(5 * time.Second), CpuCores: &cores}, {}}},
	}}})

	points := m.nodes[0].points()
	require.Len(t, points, 21)
	assert.InDelta(t, 0.7, points[0].values[0], 1e-9)

	// After a quarter of an hour it is forgotten.
	m = updated(m, statusMsg{node: m.nodes[0], at: began.Add(keep), status: status("ok", usage(1))})
	assert.Len(t, m.nodes[0].points(), 21)
}

// TestModel_ShowsOneTarget: the curve of a pod does not go on with that of another one.
func TestModel_ShowsOneTarget(t *testing.T) {
	m := shown("a")
	n := m.nodes[0]
	require.Len(t, n.points(), 20)
	assert.False(t, n.unseeded(), "it was asked for with the first answer")

	of := func(id string, cores float64) client.TargetStatus {
		status := usage(cores)
		status.ID = id

		return status
	}
	first := func() float64 { return n.points()[0].values[0] }
	second := 20 * time.Second
	see := func(targets ...client.TargetStatus) {
		m = updated(m, statusMsg{node: n, at: began.Add(second), status: status("ok", targets...)})
		second += time.Second
	}

	// Two take turns as the one with the most usage.
	for range 5 {
		see(of("b", 0.3), of("c", 0.2))
		assert.InDelta(t, 0.3, first(), 1e-9)
		see(of("b", 0.3), of("c", 0.4))
		assert.InDelta(t, 0.2, first(), 1e-9)
	}

	assert.Len(t, n.points(), 10)
	assert.False(t, n.unseeded(), "asked for once")

	before, cores := timestamppb.New(began), 0.01
	m = updated(m, historyMsg{node: n, history: &guardv1alpha1.History{Series: []*guardv1alpha1.Series{
		{Target: "c", Points: []*guardv1alpha1.Point{{At: before, CpuCores: &cores}}},
		{Target: target, Points: []*guardv1alpha1.Point{{At: before, CpuCores: &cores}}},
	}}})
	assert.Len(t, n.points(), 11)
	assert.InDelta(t, 0.01, first(), 1e-9)

	see()
	assert.Len(t, n.curves, 2, "no target for a moment")

	var many []client.TargetStatus
	for i := range 100 {
		many = append(many, of(strconv.Itoa(i), float64(i)))
	}

	see(many...)
	assert.Len(t, n.curves, maxCurves)
	assert.InDelta(t, 99, first(), 1e-9)
}
