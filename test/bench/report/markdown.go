// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// markdown returns the report in Markdown.
func (f findings) markdown() string {
	var b strings.Builder

	fmt.Fprintf(&b, `# Performance

Written by %[1]smake bench%[1]s on %[2]s. [performance.json](performance.json) has the same figures. What is in one
table is measured in one run, so ratios of its figures are meaningful.

- Machine: %[3]s, %[4]d cores, Linux %[5]s, %[6]s.
- Test machine: %[7]s in TCG emulation (no KVM), Debian's Linux %[8]s, containerd, pods with their own networks,
  and the guard from the extension's image, run as Talos runs extension services.
- The emulation is slower than its host: %[9]s. For goals about a real
  processor the table has the figure of the emulation, and that figure divided by the smallest and largest factor as an estimate. No
  figure is from Talos on hardware.

## Goals

`, "`", f.When.Format(time.RFC3339), f.Machine.Processor, f.Machine.Cores, f.Machine.Kernel, f.Machine.Go, f.Machine.QEMU, f.Kernel, f.emulation())

	table(&b, []string{"goal", "at most", "result", "met"}, func(row func(...string)) {
		for _, g := range f.goals() {
			row(g.What, g.Bound, g.Figure, yesNo(g.Met))
		}
	})

	f.nativeTables(&b)
	f.usageTables(&b)
	f.reactionTable(&b)
	f.sampleTable(&b)
	f.rest(&b)

	return b.String()
}

func (f findings) emulation() string {
	factors := f.eachFactor()

	return fmt.Sprintf("%.1f times for computation (a decision of the policy), %.1f times for system calls (pread of /proc/self/stat), %.1f times for switches of goroutines",
		factors[0], factors[1], factors[2])
}

func (f findings) usageTables(b *strings.Builder) {
	b.WriteString("\n## Comparison with other watchers\n\n" +
		"All watchers run at the same time, each in its own cgroup, and watch the same idle containers. CPU is from `cpu.stat`, memory from\n" +
		"`VmRSS`. The node exporter reads the node and no containers, cAdvisor's library reads every cgroup (CPU, memory, network), and Stat\n" +
		"polling reads the cgroups of the containers only. These three neither store nor serve their results. The guard's figures include\n" +
		"sampling, traffic, decisions, the application metrics, the node, the events of the runtime and the API. The column \"times\" is the CPU\n" +
		"usage divided by that of the guard. Memory that is not anonymous is the program, which the kernel shares and can reclaim.\n\n")

	var who []string

	for _, used := range f.Usages {
		if !slices.Contains(who, used.Who) {
			who = append(who, used.Who)
		}
	}

	table(b, []string{"watcher", "targets", "interval", "CPU", "times", "RSS", "anonymous"}, func(row func(...string)) {
		for _, used := range f.Usages {
			own := f.usage(who[0], used.Interval, used.Targets)

			row(used.Who, fmt.Sprint(used.Targets), used.Interval.String(), percent(used.Cores), fmt.Sprintf("%.2f", used.Cores/own.Cores),
				fmt.Sprintf("%.1f MiB", used.RSSMiB), fmt.Sprintf("%.1f MiB", used.AnonymousMiB))
		}
	})
}

func (f findings) reactionTable(b *strings.Builder) {
	b.WriteString("\n## Reaction\n\nThe time from the start of the sample that completes a breach until `cpu.max` is written, as the guard reports it in actions and in\n" +
		"`spegel_guard_reaction_seconds`. Evidence is a copy of the application metrics ([enforcement.md](enforcement.md#evidence)).\n\n")

	table(b, []string{"", "trips", "p50", "p99", "max"}, func(row func(...string)) {
		for _, r := range f.Reactions {
			row(r.With, fmt.Sprint(r.Trips), milliseconds(r.P50), milliseconds(r.P99), milliseconds(r.Max))
		}
	})
}

func (f findings) sampleTable(b *strings.Builder) {
	fmt.Fprintf(b, "\n## One sample\n\nMeasured in the test machine in turns; the best time of each way. The guard makes %.0f system calls per tick of 1 s in total (strace).\n\n", f.CallsPerTick)

	table(b, []string{"way", "time", "times the calls alone", "allocations"}, func(row func(...string)) {
		for _, s := range f.Samples {
			row(s.Name, fmt.Sprintf("%.1f µs", s.Microseconds), fmt.Sprintf("%.2f", s.Microseconds/f.Samples[2].Microseconds), fmt.Sprint(s.Allocs))
		}
	})
}

func (f findings) rest(b *strings.Builder) {
	b.WriteString("\n## Without the emulation\n\nGo benchmarks on this machine, written by `make bench-native`.\n\n")

	slices.SortFunc(f.Benchmarks, func(x, y benchmark) int { return strings.Compare(x.Name, y.Name) })

	table(b, []string{"benchmark", "time", "bytes", "allocations"}, func(row func(...string)) {
		for _, x := range f.Benchmarks {
			row(x.Name, fmt.Sprintf("%.0f ns", x.Nanoseconds), fmt.Sprint(x.BytesPerOp), fmt.Sprint(x.AllocPerOp))
		}
	})

	fmt.Fprintf(b, "\nTicks at 1 s, with a new pod and a breach each hour: heap in use %.0f KiB after a day, which fills the history, %.0f KiB after\n"+
		"two more, at most %.0f KiB (%d ticks).\n\n`spegelguardctl` with thousands of guards over TLS on the loopback:\n\n",
		f.Day.First, f.Day.Last, f.Day.Most, f.Day.Ticks)

	for _, line := range f.FanOut {
		fmt.Fprintf(b, "- %s\n", line)
	}
}

func table(b *strings.Builder, head []string, fill func(row func(...string))) {
	row := func(cells ...string) { b.WriteString("| " + strings.Join(cells, " | ") + " |\n") }

	row(head...)
	row(slices.Repeat([]string{"---"}, len(head))...)
	fill(row)
}

func yesNo(met bool) string {
	if met {
		return "yes"
	}

	return "**no**"
}
