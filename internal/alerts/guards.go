// SPDX-License-Identifier: MPL-2.0

package alerts

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/series"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// guardAlerts returns the alerts on the guards themselves.
func guardAlerts(cfg config.Config, options Options) []alert {
	const (
		where    = "{{ $labels.instance }}"
		pod      = "{{ $labels.namespace }}/{{ $labels.pod }}"
		workload = "cluster, namespace, pod, container, instance"
	)

	up := "up{job=" + strconv.Quote(options.Job) + "}"

	return []alert{
		{
			name: Down, expr: fmt.Sprintf("%s == 0 or absent(%s)", up, up), lasting: 10 * time.Minute, severity: warning,
			summary:     "Prometheus cannot scrape a guard, or knows none.",
			description: `The guard on {{ with $labels.instance }}{{ . }}{{ else }}every node{{ end }} does not answer Prometheus: the extension is missing or stopped, or the port, the firewall or the client certificate prevent it. Run ` + "`spegelguardctl status`.",
		},
		{
			// A probe lifts the ceiling for a short time, which is no end. In the states pending and firing the ceiling limits nothing.
			name: CeilingInForce, expr: "max by (" + workload + ") (" + series.Ceiling + ") > 0 unless on (cluster, instance) " + series.State + `{state=~"pending|firing"} == 1`, keep: cfg.Ceiling.Probe.Duration + time.Minute, severity: warning,
			summary:     "A ceiling limits the CPU usage of spegel.",
			description: "Pod " + pod + " is under a ceiling of {{ $value | humanize }} cores: a rule tripped or a person set an override. Run `spegelguardctl explain`. CPUThrottlingHigh is expected while the ceiling is in force, and inhibited.",
		},
		{
			name: Flapping, expr: "sum by (cluster, namespace, pod, instance) (increase(" + series.Throttles + "[6h])) > 3", severity: warning,
			summary:     "Spegel is throttled again and again.",
			description: "Pod " + pod + " was throttled {{ $value | humanize }} times in 6 hours. Ceilings limit the damage but do not remove the cause: restart the pod, or compare its node with the others by `spegelguardctl compare`.",
		},
		{
			name: Contained, expr: "max by (" + workload + ") (" + series.FailedProbes + ") >= " + strconv.Itoa(policy.ContainedAfter), severity: warning,
			summary:     "A ceiling does not end the breach of spegel.",
			description: "Pod " + pod + " exceeded its rule again in {{ $value | humanize }} probes. Restart it with `kubectl -n {{ $labels.namespace }} delete pod {{ $labels.pod }}`, and set a CPU limit on the container.",
		},
		{
			name: Unavailable, expr: series.State + `{state=~"unavailable|no-target|no-cri|no-cgroup-v2|no-permission|no-control"} == 1`, lasting: 10 * time.Minute, severity: warning,
			summary:     "A guard does not protect its node, or only in part.",
			description: "The guard on " + where + " is {{ $labels.state }}. Run `spegelguardctl doctor` for the cause and the fix.",
		},
		{
			name: ApplyFailed, expr: "sum by (cluster, instance, errno) (increase(" + series.ApplyFailures + "[10m])) > 0", severity: critical,
			summary:     "A guard could not write a ceiling.",
			description: "The guard on " + where + " could not write cpu.max ({{ $labels.errno }}), so the container is not throttled, or its owner's limit is not restored. Run `spegelguardctl doctor`.",
		},
		{
			name: Conflict, expr: "sum by (cluster, namespace, pod, instance) (increase(" + series.ExternalChanges + "[1h])) > 3", severity: warning,
			summary:     "Another program changes cpu.max of spegel.",
			description: "cpu.max of pod " + pod + " was changed {{ $value | humanize }} times in an hour while a ceiling was in force. Check for VPA and in-place resizes. The guard treats the new value as the owner's limit and follows ceiling.conflict.",
		},
		{
			name: Stalled, expr: "time() - " + series.LastSample + " > 120", lasting: 5 * time.Minute, severity: warning,
			summary:     "A guard takes no samples.",
			description: "The guard on " + where + " has read no counters of pod " + pod + " for {{ $value | humanizeDuration }}. Run `talosctl logs ext-spegel-guard`.",
		},
	}
}
