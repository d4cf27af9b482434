// SPDX-License-Identifier: MPL-2.0

// Package report writes one incident as people write it down afterwards: who was the culprit and why, what was done, and what
// that changed on each node.
package report

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/compare"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

const (
	// beforeLength is the time before the first ceiling that counts as before.
	beforeLength = 10 * time.Minute
	// apart is the time without a ceiling that separates one incident from the next.
	apart = time.Hour
	// leastLength of a time whose averages are shown: three of the shortest steps of the history.
	leastLength = 30 * time.Second
)

// Node is what one guard knows of the incident.
type Node struct {
	Name string
	// Targets are the points of each target, without NodeTX. Their times differ. The oldest are first.
	Targets [][]Point
	// Links are the points of its physical links, with NodeTX only.
	Links []Point
	// Actions of the guard, the oldest first.
	Actions []Action
	// Verdicts on the last ceiling of each target, as "outcome: reason", by target.
	Verdicts map[string]string
	// Advice for its targets.
	Advice []string
}

// All returns the points of its targets and links.
func (n Node) All() []Point { return slices.Concat(append(slices.Clone(n.Targets), n.Links)...) }

// Since leaves out the points that begin before a time. A guard that stood still has long ones, and a node decides what it sends.
func (n *Node) Since(time time.Time) {
	earlier := func(p Point) bool { return p.begin().Before(time) }

	for i := range n.Targets {
		n.Targets[i] = slices.DeleteFunc(n.Targets[i], earlier)
	}

	n.Links = slices.DeleteFunc(n.Links, earlier)
}

// Action is one thing that a guard did.
type Action struct {
	At time.Time
	// Kind is a kind of action of pkg/resources.
	Kind, Target, Reason string
	// Before and After are cpu.max; empty where the action is not about it.
	Before, After string
	// Evidence is a folder on the node; empty for none.
	Evidence string
}

// Incident is what a report shows. Its times are UTC.
type Incident struct {
	// From and To are the time that the points cover.
	From, To time.Time
	// Before, Under and After the ceilings; a time that was too short is zero.
	Before, Under, After Period
	// Earlier is the end of ceilings of an incident before the one that is told; zero for none.
	Earlier time.Time
	// InForce is set while a ceiling is in force at To.
	InForce bool
	// Culprit says in one sentence which node was the culprit, or why none is named.
	Culprit string
	Rows    []Row
	// Timeline of all nodes, the oldest first.
	Timeline []Entry
	// Verdicts and Advice, each with its node.
	Verdicts, Advice []Entry
	// Missing are the nodes that are left out, with the reason.
	Missing []Entry

	nodes []Node
}

// Row is one node before, under and after the ceilings.
type Row struct {
	Name string
	Role compare.Role
	// Averages of its targets and its links.
	Before, Under, After Usage
}

// Entry is a line about a node. At is zero where it has no time.
type Entry struct {
	At             time.Time
	Node, What     string
	Why            string
	Change, Folder string
}

// Build makes an incident of what the nodes know. Missing are those that are left out.
func Build(nodes []Node, missing []Entry) Incident {
	nodes, missing = each(nodes, Node.clean), each(missing, Entry.clean)
	incident := Incident{nodes: nodes, Missing: missing}
	incident.From, incident.To = span(nodes)
	incident.periods()

	figures := make([]compare.Node, len(nodes))

	for i, node := range nodes {
		row := Row{
			Name: node.Name, Before: node.average(incident.Before), Under: node.average(incident.Under), After: node.average(incident.After),
		}
		incident.Rows = append(incident.Rows, row)

		// Without a ceiling all of the time is compared.
		usage := row.Before
		if incident.Under.IsZero() {
			usage = node.average(Period{incident.From, incident.To})
		}

		figures[i] = compare.Node{Name: node.Name, Figures: usage.figures()}
	}

	compared := compare.Compare(figures, compare.Limits{})
	incident.Culprit = compared.Verdict

	for i, node := range compared.Nodes {
		incident.Rows[i].Role = node.Role
	}

	incident.fillTimeline()

	return incident
}

// span returns the time that the points of all nodes cover.
func span(nodes []Node) (from, to time.Time) {
	for _, node := range nodes {
		for _, p := range node.All() {
			if from.IsZero() || p.begin().Before(from) {
				from = p.begin()
			}

			to = later(to, p.At)
		}
	}

	return from, to
}

// fillTimeline fills the timeline, the verdicts and the advice.
func (i *Incident) fillTimeline() {
	for _, node := range i.nodes {
		for _, action := range node.Actions {
			entry := Entry{At: action.At, Node: node.Name, What: action.Kind, Why: action.Reason, Folder: action.Evidence}

			if action.After != "" && action.After != action.Before {
				entry.Change = resources.PrettyCPUMax(action.Before) + " → " + resources.PrettyCPUMax(action.After)
			}

			i.Timeline = append(i.Timeline, entry)
		}

		for _, target := range slices.Sorted(maps.Keys(node.Verdicts)) {
			i.Verdicts = append(i.Verdicts, Entry{Node: node.Name, What: target, Why: node.Verdicts[target]})
		}

		for _, text := range node.Advice {
			i.Advice = append(i.Advice, Entry{Node: node.Name, Why: text})
		}
	}

	slices.SortStableFunc(i.Timeline, func(a, b Entry) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Node, b.Node)) })
}
