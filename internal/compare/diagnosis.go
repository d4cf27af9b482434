// SPDX-License-Identifier: MPL-2.0

package compare

import (
	"fmt"
	"strings"
)

// names of the metrics in a sentence.
var names = map[Metric]string{
	CPU: "CPU", TX: "TX", Alloc: "allocation", GC: "GC", Blobs: "blobs", NodeTX: "node TX", NFS: "NFS", NFSRTT: "NFS round trip",
}

// ratioCeiling is where "times the median" stops telling anything.
const ratioCeiling = 100

// diagnosis of a culprit: what is odd about it, each with its figures.
func diagnosis(node Assessment, dragged int) string {
	var parts []string

	for _, metric := range Metrics() {
		cell, ok := node.Cells[metric]
		if !ok || !cell.Odd {
			continue
		}

		switch metric {
		case Pods:
			parts = append(parts, fmt.Sprintf("%s pods, median %s", metric.Format(cell.Value), metric.Format(cell.Median)))
		case Disk:
			parts = append(parts, fmt.Sprintf("/var %s full, median %s", metric.Format(cell.Value), metric.Format(cell.Median)))
		default:
			parts = append(parts, fmt.Sprintf("%s %s (%s, median %s)", names[metric], times(cell), metric.Format(cell.Value), metric.Format(cell.Median)))
		}
	}

	switch dragged {
	case 0:
	case 1:
		parts = append(parts, "TX drags 1 peer")
	default:
		parts = append(parts, fmt.Sprintf("TX drags %d peers", dragged))
	}

	return node.Name + ": " + strings.Join(parts, "; ")
}

func times(cell Cell) string {
	switch {
	case cell.Ratio == 0 || cell.Ratio > ratioCeiling:
		return fmt.Sprintf("over %dx median", ratioCeiling)
	default:
		return fmt.Sprintf("%.1fx median", cell.Ratio)
	}
}

// verdict says who, or why nobody.
func verdict(report Report, limits Limits) string {
	var culprits []string

	above, known := 0, 0

	for _, node := range report.Nodes {
		if node.Role == Culprit {
			culprits = append(culprits, node.Diagnosis)
		}

		if cpu, ok := node.Cells[CPU]; ok {
			known++

			if cpu.Value >= limits.CPU {
				above++
			}
		}
	}

	switch {
	case len(culprits) > 0:
		return strings.Join(culprits, ". ")
	case known < 2:
		return fmt.Sprintf("%d of %d nodes know their figures: there is nothing to compare", known, len(report.Nodes))
	case above*2 > known:
		return fmt.Sprintf("no node stands out, but %d of %d are above %s: what they have in common is to blame, such as a new release or what all of them pull",
			above, known, CPU.Format(limits.CPU))
	default:
		return fmt.Sprintf("no node stands out among %d", known)
	}
}
