package alerts

import (
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
)

// Series of the guards that the alerts are about.
const (
	// SeriesCeiling is the ceiling in force of a target in cores, and absent when there is none.
	SeriesCeiling = "spegel_guard_ceiling_cores"
	// SeriesState is 1 for the state that the guard is in, and 0 for every other.
	SeriesState = "spegel_guard_state"
	// SeriesThrottles counts ceilings that were put in force.
	SeriesThrottles = "spegel_guard_throttles_total"
	// SeriesFailures counts ceilings that could not be written, by errno.
	SeriesFailures = "spegel_guard_apply_failures_total"
	// SeriesForeign counts how often somebody else wrote cpu.max under a ceiling.
	SeriesForeign = "spegel_guard_foreign_writes_total"
	// SeriesSampled is the time of the newest sample.
	SeriesSampled = "spegel_guard_last_sample_timestamp_seconds"
)

// guards are alerts on the guards themselves.
func guards() []monitoringv1.Rule {
	const where = "{{ $labels.instance }}"

	return []monitoringv1.Rule{
		alert(CeilingInForce, "max by (namespace, pod, container, instance) ("+SeriesCeiling+") > 0", 0, "info",
			"{{ $labels.pod }} is under a ceiling of {{ $value | humanize }} cores",
			"Its guard throttles it, because a rule tripped or a person ordered it: `spegelguardctl explain`. CPUThrottlingHigh is expected meanwhile, and inhibited."),
		alert(Flapping, "sum by (namespace, pod, instance) (increase("+SeriesThrottles+"[6h])) > 3", 0, "warning",
			"{{ $labels.pod }} was throttled {{ $value | humanize }} times in 6 hours",
			"A ceiling calms it, and does not cure it: restart the pod, or look for what is different about its node with `spegelguardctl compare`."),
		alert(Blind, SeriesState+`{state=~"blind|no-target|no-cri|no-cgroup-v2|no-permission|no-control"} == 1`, 10*time.Minute, "warning",
			"the guard on "+where+" is {{ $labels.state }}", "It does not protect its node: `spegelguardctl doctor` says what is missing, and how to mend it."),
		alert(ApplyFailed, "sum by (instance, errno) (increase("+SeriesFailures+"[10m])) > 0", 0, "critical",
			"the guard on "+where+" could not write a ceiling ({{ $labels.errno }})", "A runaway goes on: `spegelguardctl doctor`."),
		alert(Conflict, "sum by (namespace, pod, instance) (increase("+SeriesForeign+"[1h])) > 3", 0, "warning",
			"somebody else writes cpu.max of {{ $labels.pod }}", "VPA or an in-place resize? Theirs is the owner's value and is kept; see ceiling.conflict."),
		alert(Stalled, "time() - "+SeriesSampled+" > 120", 5*time.Minute, "warning",
			"the guard on "+where+" takes no samples", "It runs, and has read nothing for two minutes: `talosctl logs ext-spegel-guard`."),
	}
}
