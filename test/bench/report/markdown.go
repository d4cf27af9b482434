// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// markdown is the report for people.
func (f findings) markdown() string {
	var b strings.Builder

	fmt.Fprintf(&b, `# Performance

Written by %[1]smake bench%[1]s on %[2]s; the same in figures is [performance.json](performance.json). Everything is measured in one
run, so what counts are the ratios.

- Machine: %[3]s, %[4]d cores, Linux %[5]s, %[6]s.
- Test machine: %[7]s in TCG emulation (no KVM), Debian's Linux %[8]s, the real containerd, pods with networks of their own,
  the guard from the extension's image under the conditions Talos runs extension services in.
- The emulation is slower than the machine it runs on: %[9]s. Where a goal is about a real
  processor, the figure of the emulation is given, and it divided by these factors as an estimate. No figure here is from Talos on hardware.

## Goals

`, "`", f.When.Format(time.RFC3339), f.Machine.Processor, f.Machine.Cores, f.Machine.Kernel, f.Machine.Go, f.Machine.QEMU, f.Kernel, f.emulation())

	table(&b, []string{"goal", "at most", "found", "met"}, func(row func(...string)) {
		for _, g := range f.goals() {
			row(g.What, g.Bound, g.Figure, yesNo(g.Met))
		}
	})

	f.usageTables(&b)
	f.reactionTable(&b)
	f.sampleTable(&b)
	f.rest(&b)

	return b.String()
}

func (f findings) emulation() string {
	factors := f.eachFactor()

	return fmt.Sprintf("%.1f times for computing (a decision of the policy), %.1f for system calls (pread of /proc/self/stat), %.1f for switching goroutines",
		factors[0], factors[1], factors[2])
}

func (f findings) usageTables(b *strings.Builder) {
	b.WriteString("\n## Beside other watchers\n\n" +
		"The same calm containers, watched by all at the same time, each in a cgroup of its own (`cpu.stat`, `VmRSS`). The node exporter\n" +
		"looks at the whole node and at no container, cAdvisor's library walks every cgroup there is (CPU, memory, network), Stat polling reads\n" +
		"the containers' and nothing else. Theirs is without what stores or serves the result; the guard's is all of it: sampling, traffic,\n" +
		"deciding, the target's `/metrics`, the node, the runtime's events, the API. \"times\" is their processor use over the guard's; of the\n" +
		"memory, what is not anonymous is the program itself, which the kernel shares and takes back.\n\n")

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
	b.WriteString("\n## Reaction\n\nFrom the start of the sample that completes a breach until `cpu.max` is written, as the guard says it (`get actions`,\n" +
		"`spegel_guard_reaction_seconds`). Evidence is the target's own `/metrics` from before the ceiling; a busy target takes its time for it.\n\n")

	table(b, []string{"", "trips", "p50", "p99", "max"}, func(row func(...string)) {
		for _, r := range f.Reactions {
			row(r.With, fmt.Sprint(r.Trips), milliseconds(r.P50), milliseconds(r.P99), milliseconds(r.Max))
		}
	})
}

func (f findings) sampleTable(b *strings.Builder) {
	fmt.Fprintf(b, "\n## One sample\n\nIn the test machine, in turns, the best of each. The guard makes %.0f system calls per tick of 1 s, all told (strace).\n\n", f.CallsPerTick)

	table(b, []string{"way", "time", "times the bare calls", "allocations"}, func(row func(...string)) {
		for _, s := range f.Samples {
			row(s.Name, fmt.Sprintf("%.1f µs", s.Microseconds), fmt.Sprintf("%.2f", s.Microseconds/f.Samples[2].Microseconds), fmt.Sprint(s.Allocs))
		}
	})
}

func (f findings) rest(b *strings.Builder) {
	b.WriteString("\n## Without the emulation\n\nGo's benchmarks, on this machine.\n\n")

	slices.SortFunc(f.Benchmarks, func(x, y benchmark) int { return strings.Compare(x.Name, y.Name) })

	table(b, []string{"benchmark", "time", "bytes", "allocations"}, func(row func(...string)) {
		for _, x := range f.Benchmarks {
			row(x.Name, fmt.Sprintf("%.0f ns", x.Nanoseconds), fmt.Sprint(x.BytesPerOp), fmt.Sprint(x.AllocPerOp))
		}
	})

	fmt.Fprintf(b, "\n24 hours of ticks at 1 s with a pod replaced each hour and a breach in each: heap in use %.0f KiB after the second hour,\n"+
		"%.0f after the last, %.0f at the most (%d ticks).\n\nA thousand guards, asked by `spegelguardctl` over TLS on the loopback:\n\n",
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
