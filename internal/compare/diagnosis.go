// SPDX-License-Identifier: MPL-2.0

package compare

import (
	"fmt"
	"strings"
)

// names of the metrics in a sentence.
var names = map[Metric]string{
	CPU: "CPU", TX: "TX", Alloc: "allocation", GC: "GC", Keys: "advertised keys", Blobs: "blobs", NodeTX: "node TX", NFS: "NFS", NFSRTT: "NFS round trip",
}

// ratioMax is the highest ratio that is printed.
const ratioMax = 100

// diagnosis lists the odd figures of a culprit.
func diagnosis(node Assessment, affected int) string {
	var parts []string

	for _, metric := range Metrics() {
		cell, ok := node.Cells[metric]
		if !ok || !cell.Odd || metric == Blobs && node.Cells[Keys].Odd {
			continue // the blobs stand for the keys that are not exported
		}

		switch metric {
		case Pods:
			parts = append(parts, fmt.Sprintf("%s pods, the others' %s", metric.Format(cell.Value), metric.Format(cell.Median)))
		case Disk:
			parts = append(parts, fmt.Sprintf("/var %s full, the others' %s", metric.Format(cell.Value), metric.Format(cell.Median)))
		default:
			parts = append(parts, fmt.Sprintf("%s %s (%s, the others' %s)", names[metric], times(cell), metric.Format(cell.Value), metric.Format(cell.Median)))
		}
	}

	switch affected {
	case 0:
	case 1:
		parts = append(parts, "1 peer is affected")
	default:
		parts = append(parts, fmt.Sprintf("%d peers are affected", affected))
	}

	return node.Name + " is the culprit, compared with the median of the others: " + strings.Join(parts, "; ")
}

func times(cell Cell) string {
	switch {
	case cell.Ratio == 0 || cell.Ratio > ratioMax:
		return fmt.Sprintf("over %dx", ratioMax)
	default:
		return fmt.Sprintf("%.1fx", cell.Ratio)
	}
}

// verdict names the culprits, or why there is none.
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
		return fmt.Sprintf("%d of %d nodes have figures: at least 2 are needed to compare", known, len(report.Nodes))
	case above*2 > known:
		return fmt.Sprintf("no node stands out, but %d of %d are above %s: look for a common cause, such as a new release or an image that all nodes pull",
			above, known, CPU.Format(limits.CPU))
	default:
		return fmt.Sprintf("no node stands out among %d", known)
	}
}
