// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spegel-guard/spegel-guard/test/bench/result"
)

// Names of the phases and watchers of test/bench/native.
const (
	noClients   = "no clients"
	withClients = "10 watchers and metrics"
	withoutCRI  = "without CRI"
	bareReader  = "bare reader"
)

// native returns the usage of a watcher in a phase.
func (f findings) native(phase, who string) result.Usage {
	for _, p := range f.Native {
		for _, used := range p.Usages {
			if p.Name == phase && used.Who == who {
				return used
			}
		}
	}

	return result.Usage{}
}

// overBare is the usage of the guard in a phase divided by that of the bare reader beside it.
func (f findings) overBare(phase string) float64 {
	return f.native(phase, who).Cores / f.native(phase, bareReader).Cores
}

func (f findings) nativeGoals() []goal {
	idle := f.native(noClients, who)
	clients := f.native(withClients, who)

	most := func(what string, ratio, bound float64) goal {
		return goal{what, fmt.Sprintf("at most %.1f", bound), fmt.Sprintf("%.2f", ratio), ratio <= bound}
	}
	least := func(what string, ratio, bound float64) goal {
		return goal{what, fmt.Sprintf("at least %.0f", bound), fmt.Sprintf("%.1f", ratio), ratio >= bound}
	}
	memory := func(what string, used result.Usage, bound float64) goal {
		return goal{what, fmt.Sprintf("at most %.0f MiB", bound), fmt.Sprintf("%.1f MiB, of which %.1f MiB anonymous", used.RSSMiB, used.AnonymousMiB), used.RSSMiB <= bound}
	}

	goals := []goal{
		most("CPU at 1 s with TLS / bare reader of the same files", f.overBare(noClients), 1.8),
		least("CPU of the node exporter, scraped at 1 s / guard", f.native(noClients, "prometheus-node-exporter, scraped").Cores/idle.Cores, 18),
		least("CPU of cAdvisor's library / guard", f.native(noClients, "cAdvisor's library").Cores/idle.Cores, 50),
		most("CPU with 10 watchers / without, each over the bare reader", f.overBare(withClients)/f.overBare(noClients), 1.5),
		most("CPU without the container runtime / with it, each over the bare reader", f.overBare(withoutCRI)/f.overBare(noClients), 1.3),
		memory("RSS with TLS", idle, 16),
		memory("RSS with TLS, metrics and 10 watchers", clients, 20),
		{"size of the program", "at most 20 MB", fmt.Sprintf("%.1f MB", float64(f.Binary)/1e6), f.Binary <= 20e6},
	}

	return append(goals, f.reactionGoals()...)
}

func (f findings) nativeTables(b *strings.Builder) {
	fmt.Fprintf(b, "\n## On this machine, without the emulation\n\n"+
		"Written by `make bench-native` on %s: %s, %d cores, Linux %s, %s.\n\n"+
		"The guard and the others run in their own mount, process, network and cgroup namespaces, each in its own cgroup of a unified\n"+
		"hierarchy. That hierarchy has no controllers on this machine, so the container has two of the six files that are sampled, and no\n"+
		"ceiling can be written: the guard observes. The container runtime is a stand-in. The bare reader makes the system calls of a sample\n"+
		"once a second and nothing else, the idle ticker wakes up once a second. The reaction is the time from the sample that completes a\n"+
		"breach until the ceiling is written to a cgroup in memory; the target takes 8 ms to serve its metrics.\n",
		f.NativeWhen.Format(time.RFC3339), f.NativeMachine.Processor, f.NativeMachine.Cores, f.NativeMachine.Kernel, f.NativeMachine.Go)

	b.WriteString("\n")
	table(b, []string{"goal", "bound", "result", "met"}, func(row func(...string)) {
		for _, g := range f.nativeGoals() {
			row(g.What, g.Bound, g.Figure, yesNo(g.Met))
		}
	})

	for _, p := range f.Native {
		fmt.Fprintf(b, "\n### %s\n\n", strings.ToUpper(p.Name[:1])+p.Name[1:])
		table(b, []string{"watcher", "CPU", "times the bare reader", "RSS", "anonymous"}, func(row func(...string)) {
			for _, used := range p.Usages {
				row(used.Who, percent(used.Cores), fmt.Sprintf("%.2f", used.Cores/f.native(p.Name, bareReader).Cores),
					fmt.Sprintf("%.1f MiB", used.RSSMiB), fmt.Sprintf("%.1f MiB", used.AnonymousMiB))
			}
		})
	}
}
