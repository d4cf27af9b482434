// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/spegel-guard/spegel-guard/internal/compare"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/test/incident"
)

const marginsIntro = `# Margins of the default rules

Generated from the default rules and from the recordings in test/incident by ` + "`make generate`" + `. For each recording: the highest
value of all nodes that are not the culprit, the lowest value of the culprit, and how far the threshold is from both. A value is an
average over one interval of the recording (10 s to a minute). ` + "`-`" + ` was not measured.

- ` + "`incident`" + `: the incident's three nodes, before the fix. Only the culprit's allocation is known.
- ` + "`test-machine`" + `: spegel v0.6.0 in the test machine.
- ` + "`spinning`" + `, ` + "`spinning-1053-blobs`" + `: spegel v0.6.0 on three nodes in network namespaces of one machine; one spins.
- ` + "`healthy`" + `: the same three nodes at rest, from the start of the programs on.

| recording | signal | default rules | threshold | others' highest | threshold is | culprit's lowest | culprit is |
| --- | --- | --- | --- | --- | --- | --- | --- |
`

const marginsNotes = `
The rules on ` + "`cpu`" + ` lead to a ceiling. Those on ` + "`networkTx`" + ` and ` + "`allocation`" + ` are in mode ` + "`observe`" + `. No threshold on traffic separates
the culprits of all recordings from the peers of all recordings: a peer of the incident sends more than a culprit on a smaller
cluster. That rule is for a node whose traffic alone runs away. [adr/0011-default-rules.md](adr/0011-default-rules.md) has the reasons.
`

// measured are the signals that the recordings have.
var measured = []struct {
	signal config.Signal
	metric compare.Metric
	value  func(incident.Interval) float64
}{
	{config.SignalCPU, compare.CPU, func(i incident.Interval) float64 { return i.CPU }},
	{config.SignalNetworkTX, compare.TX, func(i incident.Interval) float64 { return i.TX }},
	{config.SignalAllocation, compare.Alloc, func(i incident.Interval) float64 { return i.Allocation }},
}

func margins() (string, error) {
	recordings, err := incident.Recordings()
	if err != nil {
		return "", err
	}

	var b strings.Builder

	b.WriteString(marginsIntro)

	for _, recording := range recordings {
		for _, m := range measured {
			others := extreme(recording, m.value, slices.Max[[]float64], incident.Peer, incident.Calm)
			culprit := extreme(recording, m.value, slices.Min[[]float64], incident.Culprit)
			names, threshold := rulesOn(m.signal)

			fmt.Fprintf(&b, "| `%s` | `%s` | %s | `%s` | %s | %s | %s | %s |\n", recording.Name, m.signal, names, threshold,
				figure(m.metric, others), times(threshold.Value/others), figure(m.metric, culprit), times(culprit/threshold.Value))
		}
	}

	b.WriteString(marginsNotes)

	text, err := reactions(recordings)
	if err != nil {
		return "", err
	}

	return b.String() + text, nil
}

// extreme returns the extreme value of the nodes with a role; NaN when none was measured.
func extreme(recording incident.Recording, value func(incident.Interval) float64, of func([]float64) float64, roles ...incident.Role) float64 {
	var values []float64

	for _, node := range recording.Nodes {
		for _, interval := range node.Intervals {
			if v := value(interval); slices.Contains(roles, node.Role) && !math.IsNaN(v) {
				values = append(values, v)
			}
		}
	}

	if len(values) == 0 {
		return math.NaN()
	}

	return of(values)
}

// rulesOn returns the names of the default rules on a signal, and their threshold, which is the same for all of them.
func rulesOn(signal config.Signal) (string, config.Threshold) {
	var (
		names     []string
		threshold config.Threshold
	)

	for _, rule := range config.Default().Rules {
		if rule.Signal != signal {
			continue
		}

		names = append(names, "`"+rule.Name+"`")

		if threshold = rule.Threshold; !rule.Credit.IsZero() {
			threshold = rule.Credit.Earn
		}
	}

	return strings.Join(names, ", "), threshold
}

func figure(metric compare.Metric, value float64) string {
	if math.IsNaN(value) {
		return "-"
	}

	return metric.Format(value)
}

// times writes how far a value is above another.
func times(ratio float64) string {
	switch {
	case math.IsNaN(ratio):
		return "-"
	case ratio > 100:
		return "over 100x above"
	case ratio < 1:
		return fmt.Sprintf("%.2fx: not above", ratio)
	default:
		return fmt.Sprintf("%.2fx above", ratio)
	}
}
