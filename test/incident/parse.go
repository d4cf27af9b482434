// SPDX-License-Identifier: MPL-2.0

package incident

import (
	"embed"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"
)

//go:embed recordings/*.txt
var files embed.FS

// line is one interval of a node. Lines that begin with AVG are averages of the whole recording and do not match.
var line = regexp.MustCompile(`(?m)^t= *([\d.]+)s (\S+) cpu= *([\d.]+)m tx= *([\d.]+)kB/s rx= *([\d.]+)kB/s .* alloc= *([\d.]+)MB/min `)

// parse reads the recording of a name. Without a culprit all nodes are calm.
func parse(name, culprit string) (Recording, error) {
	text, err := files.ReadFile("recordings/" + name + ".txt")
	if err != nil {
		return Recording{}, fmt.Errorf("failed to read the recording: %w", err)
	}

	recording := Recording{Name: name}
	ends := map[string]float64{}

	for _, match := range line.FindAllStringSubmatch(string(text), -1) {
		node := match[2]

		var end, cpu, tx, rx, alloc float64

		for field, into := range map[int]*float64{1: &end, 3: &cpu, 4: &tx, 5: &rx, 6: &alloc} {
			if *into, err = strconv.ParseFloat(match[field], 64); err != nil {
				return Recording{}, fmt.Errorf("failed to parse the recording %s: %w", name, err)
			}
		}

		i := slices.IndexFunc(recording.Nodes, func(n Node) bool { return n.Name == node })
		if i < 0 {
			i = len(recording.Nodes)
			recording.Nodes = append(recording.Nodes, Node{Name: node, Role: role(node, culprit)})
		}

		recording.Nodes[i].Intervals = append(recording.Nodes[i].Intervals, Interval{
			Over: time.Duration((end - ends[node]) * float64(time.Second)),
			CPU:  cpu / 1e3, TX: tx * 1e3, RX: rx * 1e3, Allocation: alloc * 1e6 / 60,
		})
		ends[node] = end
	}

	return recording, nil
}

func role(node, culprit string) Role {
	switch culprit {
	case "":
		return Calm
	case node:
		return Culprit
	default:
		return Peer
	}
}
