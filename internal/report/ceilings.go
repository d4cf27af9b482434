// SPDX-License-Identifier: MPL-2.0

package report

import (
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// ceiling is one that was in force for a time, in cores.
type ceiling struct {
	Period

	cores float64
}

// ceilings returns those of a node: a probe, a release and another ceiling end one, and one in force lasts until the end of the report.
func (i Incident) ceilings(node Node) []ceiling {
	var (
		ended []ceiling
		open  = map[string]ceiling{}
	)

	end := func(target string, at time.Time) {
		if c, ok := open[target]; ok && at.After(i.From) {
			c.From, c.To = later(c.From, i.From), at
			ended = append(ended, c)
		}

		delete(open, target)
	}

	for _, action := range node.Actions {
		// A release has no cpu.max after it if the container's cgroup is gone.
		if action.After == "" && action.Kind != resources.ActionRelease {
			continue
		}

		end(action.Target, action.At)

		if cores, _ := resources.CPUMax(action.After); applies(action.Kind) && cores > 0 {
			open[action.Target] = ceiling{Period{From: action.At}, cores}
		}
	}

	for target := range open {
		end(target, i.To)
	}

	return ended
}
