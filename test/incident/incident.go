// SPDX-License-Identifier: MPL-2.0

// Package incident has the figures of the incident, and recordings of the real spegel v0.6.0 that reproduces it: what each
// node used in each interval.
package incident

import (
	"math"
	"time"
)

// Role of a node in a recording.
type Role string

// Roles.
const (
	// Culprit: its spegel spins.
	Culprit Role = "culprit"
	// Peer: a culprit raises its load.
	Peer Role = "peer"
	// Calm: no spegel spins.
	Calm Role = "calm"
)

// Interval is what a node used over some time. A figure that was not measured is NaN.
type Interval struct {
	Over time.Duration
	// CPU is in cores, TX, RX and Allocation in bytes per second.
	CPU, TX, RX, Allocation float64
}

// Node is a node of a recording.
type Node struct {
	Name      string
	Role      Role
	Intervals []Interval
}

// At returns the interval at a time since the beginning. After the last interval the first follows again.
func (n Node) At(since time.Duration) Interval {
	var total time.Duration

	for _, interval := range n.Intervals {
		total += interval.Over
	}

	since %= total

	for _, interval := range n.Intervals {
		if since < interval.Over {
			return interval
		}

		since -= interval.Over
	}

	return n.Intervals[0]
}

// Recording is one night or one run.
type Recording struct {
	// Name is also that of its file without the suffix, if there is one.
	Name  string
	Nodes []Node
}

// unknown is a figure that was not measured.
var unknown = math.NaN()

// Recordings returns the incident's table, the figures of a run in the test machine, and the recordings of three nodes with
// 1,053 content blobs in network namespaces of one machine. It fails when a file cannot be parsed.
func Recordings() ([]Recording, error) {
	recordings := []Recording{table(), testMachine()}

	for _, r := range []struct{ name, culprit string }{{"spinning", "node2"}, {"spinning-1053-blobs", "node2"}, {"healthy", ""}} {
		recording, err := parse(r.name, r.culprit)
		if err != nil {
			return nil, err
		}

		recordings = append(recordings, recording)
	}

	return recordings, nil
}

// table is the incident's table as a recording. Only the culprit's allocation is known.
func table() Recording {
	recording := Recording{Name: "incident"}

	for _, f := range Table() {
		interval := Interval{Over: time.Minute, CPU: f.CPU, TX: f.TX, RX: unknown, Allocation: f.Allocation}

		if f.Role != Culprit {
			interval.Allocation = unknown
		}

		recording.Nodes = append(recording.Nodes, Node{Name: f.Name, Role: f.Role, Intervals: []Interval{interval}})
	}

	return recording
}

// testMachine is the range of a run of the real spegel v0.6.0 in the test machine. The peers' traffic and the allocation
// were not written down.
func testMachine() Recording {
	at := func(cpu, tx float64) Interval {
		return Interval{Over: time.Minute, CPU: cpu, TX: tx, RX: unknown, Allocation: unknown}
	}

	return Recording{Name: "test-machine", Nodes: []Node{
		{Name: "peer", Role: Peer, Intervals: []Interval{at(0.24, unknown), at(0.345, unknown), at(0.38, unknown)}},
		{Name: "culprit", Role: Culprit, Intervals: []Interval{at(0.9, 304e3), at(0.9, 474e3)}},
	}}
}
