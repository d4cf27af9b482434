// SPDX-License-Identifier: MPL-2.0

// Package compare compares the figures of nodes: it names the node whose spegel raises the load of its peers, the nodes
// that are affected, and what is different about the culprit.
package compare

import "math"

// Node is one node's figures. A figure that is unavailable is absent.
type Node struct {
	Name    string             `json:"name"`
	Figures map[Metric]float64 `json:"figures"`
}

// Limits are the thresholds of the alerts; the zero value stands for IncidentLimits.
type Limits struct {
	// CPU in cores, TX and Alloc in bytes per second.
	CPU   float64 `json:"cpu"`
	TX    float64 `json:"tx"`
	Alloc float64 `json:"alloc"`
}

// IncidentLimits are the thresholds of the alerts that were added after the incident.
var IncidentLimits = Limits{CPU: 0.4, TX: 500e3, Alloc: 1e9 / 60}

// Role of a node.
type Role string

// Roles.
const (
	// Normal: like the other nodes.
	Normal Role = "normal"
	// Culprit raises the load of its peers.
	Culprit Role = "culprit"
	// Affected: a culprit raises its load; a ceiling on it would not help.
	Affected Role = "affected"
)

// Cell is one figure of a node.
type Cell struct {
	Value float64 `json:"value"`
	// Median of the other nodes, Ratio of the value to it (0 when it is 0, or too close to it), and Score: the number of robust standard
	// deviations (1.4826 times the median absolute deviation) that the value is above it.
	Median float64 `json:"median"`
	Ratio  float64 `json:"ratio"`
	Score  float64 `json:"score"`
	// Odd marks a figure that is far above those of the other nodes, by an amount that matters.
	Odd bool `json:"odd"`
}

// Assessment of one node.
type Assessment struct {
	Name  string          `json:"name"`
	Role  Role            `json:"role"`
	Cells map[Metric]Cell `json:"figures"`
	// Diagnosis of a culprit with its figures.
	Diagnosis string `json:"diagnosis,omitempty"`
}

// Summary of one metric over all nodes.
type Summary struct {
	Metric Metric  `json:"metric"`
	Median float64 `json:"median"`
	// MAD is the median absolute deviation.
	MAD float64 `json:"mad"`
	// Nodes that have the metric.
	Nodes int `json:"nodes"`
}

// Report on a fleet.
type Report struct {
	Nodes   []Assessment `json:"nodes"`
	Metrics []Summary    `json:"metrics"`
	// Verdict in one sentence.
	Verdict string `json:"verdict"`
}

// Shares of the limits. At half of a limit a culprit is named before the alert fires; the affected nodes of the
// recordings allocate at most 37 % of the limit.
const (
	culpritShare = 0.5
	culpritRatio = 2
	affectedCPU  = 0.25
	affectedTX   = 0.2
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

	affected := 0

	for i := range report.Nodes {
		if n := &report.Nodes[i]; culprits > 0 && n.Role == Normal &&
			n.Cells[CPU].Value >= affectedCPU*limits.CPU && n.Cells[TX].Value >= affectedTX*limits.TX {
			n.Role = Affected
			affected++
		}
	}

	for i := range report.Nodes {
		if n := &report.Nodes[i]; n.Role == Culprit {
			n.Diagnosis = diagnosis(*n, affected)
		}
	}

	report.Verdict = verdict(report, limits)

	return report
}

// fill sets the cells of one metric.
func fill(into []Assessment, nodes []Node, metric Metric) Summary {
	var values []float64

	for _, node := range nodes {
		if value, ok := known(node, metric); ok {
			values = append(values, value)
		}
	}

	sorted := rank(values)
	median := sorted.median(-1)

	for i, node := range nodes {
		if value, ok := known(node, metric); ok {
			s := sorted.standing(value, metric)
			into[i].Cells[metric] = Cell{Value: value, Median: s.median, Ratio: s.ratio, Score: s.score, Odd: s.odd}
		}
	}

	return Summary{Metric: metric, Median: median, MAD: sorted.deviation(median, -1), Nodes: len(values)}
}

// greatest is far above any figure. A node decides what it sends, and a greater one makes the sums and ratios of all nodes infinite.
const greatest = 1e18

// known returns a figure; false for one that is absent or no measurement.
func known(node Node, metric Metric) (float64, bool) {
	value, ok := node.Figures[metric]

	return value, ok && math.Abs(value) <= greatest
}

// culprit reports whether a node raises the load of its peers: such a spegel allocates at least 3.1 GB/min, an affected one up
// to 365 MB/min (test/incident). Without allocation figures, or with too few to compare, CPU must be far above the other nodes' and every figure
// above its limit.
func culprit(cells map[Metric]Cell, limits Limits) bool {
	cpu, alloc := cells[CPU], cells[Alloc]

	if alloc.Odd && far(alloc) && alloc.Value >= culpritShare*limits.Alloc && cpu.Value >= culpritShare*limits.CPU {
		return true
	}

	_, hasAlloc := cells[Alloc]

	return cpu.Odd && far(cpu) && cpu.Value >= limits.CPU && (!hasAlloc || alloc.Value >= limits.Alloc)
}

func far(c Cell) bool { return c.Value >= culpritRatio*c.Median }
