// SPDX-License-Identifier: MPL-2.0

package top

import (
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

const target = "spegel/spegel-1/registry"

var began = time.Date(2026, 1, 5, 3, 4, 5, 0, time.UTC)

// usage of a target that uses some cores.
func usage(cores float64) client.TargetStatus {
	rule := func(name, signal string, value, threshold float64) client.Rule {
		state := "ok"
		if value > threshold {
			state = "firing"
		}

		return client.Rule{Name: name, RuleStatusSpec: resources.RuleStatusSpec{Signal: signal, State: state, Value: value, Threshold: threshold}}
	}

	return client.TargetStatus{
		ID: target,
		TargetStatsSpec: resources.TargetStatsSpec{
			CPU: resources.Measured(cores), ThrottledRatio: resources.Measured(0), CPUPressure: resources.Measured(cores / 20),
			TXBytesPerSecond: resources.Measured(cores * 0.8e6), RXBytesPerSecond: resources.Measured(cores * 0.7e6),
			Application: resources.ApplicationStats{AllocBytesPerSecond: resources.Measured(cores * 80e6)},
		},
		Rules: []client.Rule{rule("SpegelHighCPU", "cpu", cores, 0.55), rule("SpegelHighNetworkTX", "networkTx", cores*0.8e6, 1e6)},
	}
}

func status(state string, targets ...client.TargetStatus) *client.Status {
	return &client.Status{Guard: client.Guard{State: state}, Targets: targets}
}

// limited puts a ceiling of 500m on a target.
func limited(t client.TargetStatus) client.TargetStatus {
	t.Ceiling = &resources.CeilingStatusSpec{State: resources.CeilingApplied, AppliedAtClock: 1, ReadBack: "50001 100000", Rule: "SpegelHighCPU"}
	t.ThrottledRatio = resources.Measured(0.94)

	return t
}

// history of a target that uses some cores, and others in its last minutes, in steps of 10 s up to a time.
func history(until time.Time, before, after float64, minutes int) *guardv1alpha1.History {
	series := &guardv1alpha1.Series{Target: target}

	for step := 90; step > 0; step-- {
		cores := after
		if step > minutes*6 {
			cores = before
		}

		tx, rx, alloc, throttled := cores*0.8e6, cores*0.7e6, cores*80e6, 0.0
		series.Points = append(series.Points, &guardv1alpha1.Point{
			At: timestamppb.New(until.Add(-time.Duration(step) * 10 * time.Second)), CpuCores: &cores, TxBytesPerSecond: &tx, RxBytesPerSecond: &rx,
			AllocBytesPerSecond: &alloc, ThrottledRatio: &throttled,
		})
	}

	return &guardv1alpha1.History{Series: []*guardv1alpha1.Series{series}}
}

var errDown = &client.NodeError{
	Node: "worker-2", Err: grpcstatus.Error(codes.Unavailable, "connection error: desc = \"transport: dial tcp 10.0.0.2:50321: connect: connection refused\""),
}

// fleet is a model of some nodes that have not been asked.
func fleet(names ...string) Model {
	m := Model{order: order{by: ColumnCPU}, interval: time.Second, width: 100, height: 30, now: began}

	for i, name := range names {
		m.nodes = append(m.nodes, newNode(nil, name, i))
	}

	return m
}

// named returns a node of a model.
func (m Model) named(name string) *node {
	for _, n := range m.nodes {
		if n.name == name {
			return n
		}
	}

	panic("no node " + name)
}

// shown is a model of nodes that have been asked a few times: each uses 100m more than the one before it, and the second is
// throttled.
func shown(names ...string) Model {
	m := fleet(names...)
	nodes := m.nodes

	for second := range 20 {
		for i, n := range nodes {
			response := status(resources.StateOK, usage(0.1*float64(i+1)))
			if i == 1 {
				response = status(resources.StateThrottled, limited(usage(0.1*float64(i+1))))
			}

			m = updated(m, statusMsg{node: n, at: began.Add(time.Duration(second) * time.Second), status: response})
		}
	}

	return m
}

func updated(m Model, msg tea.Msg) Model {
	next, _ := m.Update(msg)

	return next.(Model) //nolint:forcetypeassert // it is what Update returns
}

// pressed are keys by their name; others are typed.
var pressed = map[string]tea.KeyType{
	"down": tea.KeyDown, "up": tea.KeyUp, "tab": tea.KeyTab, "shift+tab": tea.KeyShiftTab, "esc": tea.KeyEsc, "enter": tea.KeyEnter,
	"backspace": tea.KeyBackspace, "pgdown": tea.KeyPgDown, "pgup": tea.KeyPgUp, "ctrl+u": tea.KeyCtrlU,
}

func press(m Model, keys ...string) Model {
	for _, key := range keys {
		msg := tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(key)}

		if named, ok := pressed[key]; ok {
			msg = tea.KeyMsg{Type: named}
		}

		m = updated(m, msg)
	}

	return m
}
