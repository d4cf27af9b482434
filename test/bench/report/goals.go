// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spegel-guard/spegel-guard/test/bench/result"
)

// goal is a goal and the result.
type goal struct {
	What, Bound, Figure string
	Met                 bool
}

// Goals for one node at the default interval.
const (
	goalCores    = 0.0005
	goalRSS      = 24
	goalReaction = time.Millisecond
	goalGrowth   = 1.05
	// Of a command on ten thousand guards.
	goalFleetTimes = 1.2
	goalFleetRSS   = 300
)

// fleetLine is the line of TestStatus_AsksTenThousandGuards.
var fleetLine = regexp.MustCompile(`^status of (\d+) nodes in a process of its own: ([\d.]+) times the bare calls.* at most (\d+) MiB`)

// who is the name of the guard among the usages.
const who = "spegel-guard"

func (f findings) goals() []goal {
	used := f.usage(who, time.Second, 1)
	least, most := f.factors()
	reaction := f.Reactions[0]

	goals := []goal{
		{
			"CPU at 1 s, 1 target, in the emulated machine", "0.05 % of a core", percent(used.Cores), used.Cores <= goalCores,
		},
		{
			"the same, estimated without the emulation", "0.05 % of a core",
			fmt.Sprintf("%s to %s", percent(used.Cores/most), percent(used.Cores/least)), used.Cores/least <= goalCores,
		},
		{
			fmt.Sprintf("RSS with TLS and %d watchers", f.Watched.Watchers), "24 MiB",
			fmt.Sprintf("%.1f MiB, of which %.1f MiB anonymous; peak %.1f MiB", f.Watched.RSSMiB, f.Watched.AnonymousMiB, f.Watched.PeakMiB),
			f.Watched.RSSMiB <= goalRSS,
		},
		{
			"reaction p99, in the emulated machine", "1 ms", milliseconds(reaction.P99), reaction.P99 <= goalReaction,
		},
		{
			"the same, estimated without the emulation", "1 ms",
			fmt.Sprintf("%s to %s", milliseconds(scaled(reaction.P99, most)), milliseconds(scaled(reaction.P99, least))),
			scaled(reaction.P99, least) <= goalReaction,
		},
	}

	for _, line := range f.FanOut {
		// The expression lets digits only through.
		if match := fleetLine.FindStringSubmatch(line); match != nil {
			times, _ := strconv.ParseFloat(match[2], 64)
			memory, _ := strconv.Atoi(match[3])
			what := "status of " + match[1] + " guards, which all answer: "

			goals = append(goals,
				goal{what + "time / a bare bounded fan-out", "1.2", match[2], times <= goalFleetTimes},
				goal{what + "peak RSS of the command", "300 MiB", match[3] + " MiB", memory <= goalFleetRSS},
			)
		}
	}

	for _, b := range f.Benchmarks {
		if strings.HasPrefix(b.Name, steadyTick) {
			goals = append(goals, goal{
				"allocations of a tick without changes", "0", fmt.Sprintf("%d", b.AllocPerOp), b.AllocPerOp == 0,
			})
		}
	}

	return append(goals, goal{
		"memory over 48 h of ticks, after a day that fills the history", "no growth",
		fmt.Sprintf("%.0f KiB after the first day, %.0f after the last", f.Day.First, f.Day.Last), f.Day.Last <= f.Day.First*goalGrowth,
	})
}

// steadyTick is the benchmark of a whole tick of decision and enforcement without changes.
const steadyTick = "BenchmarkSteadyTick"

// factors returns how much slower the emulation is, for the work that it slows down least and most.
func (f findings) factors() (least, most float64) {
	for i, factor := range f.eachFactor() {
		if least = min(least, factor); i == 0 {
			least = factor
		}

		most = max(most, factor)
	}

	return least, most
}

func (f findings) eachFactor() []float64 {
	there, here := f.Calibration, f.Here

	return []float64{
		there.StepNanoseconds / here.StepNanoseconds, there.PreadNanoseconds / here.PreadNanoseconds, there.SwitchNanoseconds / here.SwitchNanoseconds,
	}
}

func (f findings) usage(who string, interval time.Duration, targets int) result.Usage {
	for _, used := range f.Usages {
		if used.Who == who && used.Interval == interval && used.Targets == targets {
			return used
		}
	}

	return result.Usage{}
}

func percent(cores float64) string { return fmt.Sprintf("%.3f %%", 100*cores) }

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.2f ms", d.Seconds()*1e3) }

func scaled(d time.Duration, factor float64) time.Duration { return time.Duration(float64(d) / factor) }
