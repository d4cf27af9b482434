// SPDX-License-Identifier: MPL-2.0

package alerts

import (
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"

	"github.com/spegel-guard/spegel-guard/internal/series"
)

// guards are alerts on the guards themselves.
func guards() []monitoringv1.Rule {
	const where = "{{ $labels.instance }}"

	return []monitoringv1.Rule{
		alert(CeilingInForce, "max by (namespace, pod, container, instance) ("+series.Ceiling+") > 0", 0, "info",
			"{{ $labels.pod }} is under a ceiling of {{ $value | humanize }} cores",
			"Its guard throttles it, because a rule tripped or a person ordered it: `spegelguardctl explain`. CPUThrottlingHigh is expected meanwhile, and inhibited."),
		alert(Flapping, "sum by (namespace, pod, instance) (increase("+series.Throttles+"[6h])) > 3", 0, "warning",
			"{{ $labels.pod }} was throttled {{ $value | humanize }} times in 6 hours",
			"A ceiling calms it, and does not cure it: restart the pod, or look for what is different about its node with `spegelguardctl compare`."),
		alert(Unavailable, series.State+`{state=~"unavailable|no-target|no-cri|no-cgroup-v2|no-permission|no-control"} == 1`, 10*time.Minute, "warning",
			"the guard on "+where+" is {{ $labels.state }}", "It does not protect its node: `spegelguardctl doctor` says what is missing, and how to mend it."),
		alert(ApplyFailed, "sum by (instance, errno) (increase("+series.ApplyFailures+"[10m])) > 0", 0, "critical",
			"the guard on "+where+" could not write a ceiling ({{ $labels.errno }})", "A runaway goes on: `spegelguardctl doctor`."),
		alert(Conflict, "sum by (namespace, pod, instance) (increase("+series.ExternalChanges+"[1h])) > 3", 0, "warning",
			"somebody else writes cpu.max of {{ $labels.pod }}", "VPA or an in-place resize? Theirs is the owner's value and is kept; see ceiling.conflict."),
		alert(Stalled, "time() - "+series.LastSample+" > 120", 5*time.Minute, "warning",
			"the guard on "+where+" takes no samples", "It runs, and has read nothing for two minutes: `talosctl logs ext-spegel-guard`."),
	}
}
