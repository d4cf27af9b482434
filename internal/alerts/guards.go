// SPDX-License-Identifier: MPL-2.0

package alerts

import (
	"strconv"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"

	"github.com/spegel-guard/spegel-guard/internal/series"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// guards returns the alerts on the guards themselves.
func guards() []monitoringv1.Rule {
	const where = "{{ $labels.instance }}"

	return []monitoringv1.Rule{
		// A guard with a ceiling is pending or firing while the ceiling limits nothing.
		alert(CeilingInForce, "max by (namespace, pod, container, instance) ("+series.Ceiling+") > 0 unless on (instance) "+series.State+`{state=~"pending|firing"} == 1`, 0, "info",
			"{{ $labels.pod }} is under a ceiling of {{ $value | humanize }} cores",
			"A rule tripped or a person set an override: run `spegelguardctl explain`. CPUThrottlingHigh is expected while the ceiling is in force, and inhibited."),
		alert(Flapping, "sum by (namespace, pod, instance) (increase("+series.Throttles+"[6h])) > 3", 0, "warning",
			"{{ $labels.pod }} was throttled {{ $value | humanize }} times in 6 hours",
			"Ceilings limit the damage but do not remove the cause: restart the pod, or compare its node with the others by `spegelguardctl compare`."),
		alert(Contained, "max by (namespace, pod, container, instance) ("+series.FailedProbes+") >= "+strconv.Itoa(policy.ContainedAfter), 0, "warning",
			"{{ $labels.pod }} exceeded its rule again in {{ $value | humanize }} probes",
			"The ceiling does not end the breach: restart the pod with `kubectl -n {{ $labels.namespace }} delete pod {{ $labels.pod }}`, and set a CPU limit on the container."),
		alert(Unavailable, series.State+`{state=~"unavailable|no-target|no-cri|no-cgroup-v2|no-permission|no-control"} == 1`, 10*time.Minute, "warning",
			"the guard on "+where+" is {{ $labels.state }}", "It does not protect its node: run `spegelguardctl doctor` for the cause and the fix."),
		alert(ApplyFailed, "sum by (instance, errno) (increase("+series.ApplyFailures+"[10m])) > 0", 0, "critical",
			"the guard on "+where+" could not write a ceiling ({{ $labels.errno }})", "The container is not throttled: run `spegelguardctl doctor`."),
		alert(Conflict, "sum by (namespace, pod, instance) (increase("+series.ExternalChanges+"[1h])) > 3", 0, "warning",
			"another program changes cpu.max of {{ $labels.pod }}", "Check for VPA and in-place resizes. The guard treats the new value as the owner's limit and follows ceiling.conflict."),
		alert(Stalled, "time() - "+series.LastSample+" > 120", 5*time.Minute, "warning",
			"the guard on "+where+" takes no samples", "It has read no counters for two minutes: run `talosctl logs ext-spegel-guard`."),
	}
}
