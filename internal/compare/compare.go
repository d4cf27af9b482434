// SPDX-License-Identifier: MPL-2.0

// Package compare finds the odd one out among nodes: which spegel runs away, which are only flooded by it, and
// what is different about its node. It is pure: figures in, a report out.
package compare

import "math"

// Node is one node's figures. Those that are not known are absent.
type Node struct {
	Name    string             `json:"name"`
	Figures map[Metric]float64 `json:"figures"`
}

// Limits are what rules compare the targets with; the zero value is the incident's alerts.
type Limits struct {
	// CPU in cores, TX and Alloc in bytes per second.
	CPU   float64 `json:"cpu"`
	TX    float64 `json:"tx"`
	Alloc float64 `json:"alloc"`
}

// IncidentLimits are those of the alerts that were added after the incident.
var IncidentLimits = Limits{CPU: 0.4, TX: 500e3, Alloc: 1e9 / 60}

// Role of a node in what goes on.
type Role string

// Roles.
const (
	// Normal: as the others.
	Normal Role = "normal"
	// Culprit runs away.
	Culprit Role = "culprit"
	// Dragged has more to do because of a culprit; a ceiling on it would not help.
	Dragged Role = "dragged"
)

// Cell is one figure among the others.
type Cell struct {
	Value float64 `json:"value"`
	// Median of the other nodes, Ratio to it (0 when it is 0), and Score: by how many robust standard
	// deviations (1.4826 times the median absolute deviation) the value is above it.
	Median float64 `json:"median"`
	Ratio  float64 `json:"ratio"`
	Score  float64 `json:"score"`
	// Odd marks a figure that is far from the others', and by enough to matter.
	Odd bool `json:"odd"`
}

// Assessment of one node.
type Assessment struct {
	Name  string          `json:"name"`
	Role  Role            `json:"role"`
	Cells map[Metric]Cell `json:"figures"`
	// Diagnosis of a culprit, with the figures it is grounded in.
	Diagnosis string `json:"diagnosis,omitempty"`
}

// Summary of one metric over all nodes.
type Summary struct {
	Metric Metric  `json:"metric"`
	Median float64 `json:"median"`
	// MAD is the median absolute deviation.
	MAD float64 `json:"mad"`
	// Nodes that know it.
	Nodes int `json:"nodes"`
}

// Report on a fleet.
type Report struct {
	Nodes   []Assessment `json:"nodes"`
	Metrics []Summary    `json:"metrics"`
	// Verdict in one sentence.
	Verdict string `json:"verdict"`
}

// What makes a culprit, as shares of the limits. Half of a limit that is far from everybody else's value
// is seen before the alert; the victims of the incident's traces stay under a third of the allocation limit.
const (
	culpritShare = 0.5
	culpritRatio = 2
	draggedCPU   = 0.25
	draggedTX    = 0.2
)

// Compare compares nodes with each other.
func Compare(nodes []Node, limits Limits) Report {
	if limits == (Limits{}) {
		limits = IncidentLimits
	}

	report := Report{Nodes: make([]Assessment, len(nodes))}

	for i, node := range nodes {
		report.Nodes[i] = Assessment{Name: node.Name, Role: Normal, Cells: map[Metric]Cell{}}
	}

	for _, metric := range Metrics() {
		report.Metrics = append(report.Metrics, fill(report.Nodes, nodes, metric))
	}

	culprits := 0

	for i := range report.Nodes {
		if culprit(report.Nodes[i].Cells, limits) {
			report.Nodes[i].Role = Culprit
			culprits++
		}
	}

	dragged := 0

	for i := range report.Nodes {
		if n := &report.Nodes[i]; culprits > 0 && n.Role == Normal &&
			n.Cells[CPU].Value >= draggedCPU*limits.CPU && n.Cells[TX].Value >= draggedTX*limits.TX {
			n.Role = Dragged
			dragged++
		}
	}

	for i := range report.Nodes {
		if n := &report.Nodes[i]; n.Role == Culprit {
			n.Diagnosis = diagnosis(*n, dragged)
		}
	}

	report.Verdict = verdict(report, limits)

	return report
}

// fill sets one metric's cells.
func fill(into []Assessment, nodes []Node, metric Metric) Summary {
	var values []float64

	for _, node := range nodes {
		if value, ok := known(node, metric); ok {
			values = append(values, value)
		}
	}

	ordered := rank(values)
	median := ordered.median(-1)

	for i, node := range nodes {
		if value, ok := known(node, metric); ok {
			s := ordered.standing(value, metric)
			into[i].Cells[metric] = Cell{Value: value, Median: s.median, Ratio: s.ratio, Score: s.score, Odd: s.odd}
		}
	}

	return Summary{Metric: metric, Median: median, MAD: ordered.deviation(median, -1), Nodes: len(values)}
}

func known(node Node, metric Metric) (float64, bool) {
	value, ok := node.Figures[metric]

	return value, ok && !math.IsNaN(value) && !math.IsInf(value, 0)
}

// culprit tells a node that runs away from one that is only flooded: a spegel that spins allocates by the
// gigabyte, its victims do not. Where the allocation is not known, or only of too few to be compared, the
// processor must be far from the others', and all that is known above its limit.
func culprit(cells map[Metric]Cell, limits Limits) bool {
	cpu, alloc := cells[CPU], cells[Alloc]

	if alloc.Odd && far(alloc) && alloc.Value >= culpritShare*limits.Alloc && cpu.Value >= culpritShare*limits.CPU {
		return true
	}

	_, told := cells[Alloc]

	return cpu.Odd && far(cpu) && cpu.Value >= limits.CPU && (!told || alloc.Value >= limits.Alloc)
}

func far(c Cell) bool { return c.Value >= culpritRatio*c.Median }
