// SPDX-License-Identifier: MPL-2.0

// Package series lists the Prometheus metrics of a guard, for the exporter, the alerts, the dashboard and the
// documentation.
//
// Units are base units (https://prometheus.io/docs/practices/naming/); CPU is in cores or seconds. No label has the id
// of a container, because it changes with each restart.
package series

import (
	"slices"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// Kind of a metric.
type Kind string

// Kinds.
const (
	Gauge     Kind = "gauge"
	Counter   Kind = "counter"
	Histogram Kind = "histogram"
)

// Series is one metric.
type Series struct {
	Name   string
	Kind   Kind
	Help   string
	Labels []string
}

// Job is the label job of the guards' series, as the printed scrape configurations, alerts and dashboard have it.
const Job = "spegel-guard"

// Names of metrics with alerts.
const (
	Ceiling         = "spegel_guard_ceiling_cores"
	State           = "spegel_guard_state"
	Throttles       = "spegel_guard_throttles_total"
	ApplyFailures   = "spegel_guard_apply_failures_total"
	ExternalChanges = "spegel_guard_external_changes_total"
	LastSample      = "spegel_guard_last_sample_timestamp_seconds"
)

// Names of the other metrics.
const (
	BuildInfo      = "spegel_guard_build_info"
	Mode           = "spegel_guard_mode"
	Condition      = "spegel_guard_condition_ok"
	SampleDuration = "spegel_guard_sample_duration_seconds"
	Reaction       = "spegel_guard_reaction_seconds"

	TargetInfo      = "spegel_guard_target_info"
	CPU             = "spegel_guard_target_cpu_cores"
	CPUSeconds      = "spegel_guard_target_cpu_seconds_total"
	Throttled       = "spegel_guard_target_throttled_seconds_total"
	Memory          = "spegel_guard_target_memory_bytes"
	TX              = "spegel_guard_target_transmit_bytes_per_second"
	TXBytes         = "spegel_guard_target_transmit_bytes_total"
	RX              = "spegel_guard_target_receive_bytes_per_second"
	RXBytes         = "spegel_guard_target_receive_bytes_total"
	Allocation      = "spegel_guard_target_allocated_bytes_per_second"
	AllocationBytes = "spegel_guard_target_allocated_bytes_total"
	Ready           = "spegel_guard_target_ready"
	MirrorRequests  = "spegel_guard_target_mirror_requests_total"
	MirrorHits      = "spegel_guard_target_mirror_hits_total"
	Provenance      = "spegel_guard_target_signal_provenance"

	RuleState   = "spegel_guard_rule_state"
	RulePending = "spegel_guard_rule_pending_seconds"
	RuleTripsIn = "spegel_guard_rule_trips_in_seconds"
	RuleCredit  = "spegel_guard_rule_credit_ratio" //nolint:gosec // not a secret

	Releases = "spegel_guard_releases_total"
	Probes   = "spegel_guard_probes_total"

	FailedProbes = "spegel_guard_ceiling_failed_probes"

	NodeBlobs        = "spegel_guard_node_content_blobs"
	NodeContentBytes = "spegel_guard_node_content_bytes"
	NodePods         = "spegel_guard_node_pods"
)

// RuleValue returns the name of the metric of rules' values in a unit.
func RuleValue(unit policy.Unit) string { return "spegel_guard_rule_value_" + string(unit) }

// RuleThreshold returns the name of the metric of rules' thresholds in a unit.
func RuleThreshold(unit policy.Unit) string { return "spegel_guard_rule_threshold_" + string(unit) }

// workload returns the labels of a container, followed by more.
func workload(more ...string) []string {
	return append([]string{"namespace", "pod", "container"}, more...)
}

// All returns every metric, in the order of the documentation.
func All() []Series { return slices.Concat(state(), rules(), actions()) }

// state returns the metrics of the guard and of its targets.
func state() []Series {
	return []Series{
		{BuildInfo, Gauge, "1, with the guard's version and the Go version that built it.", []string{"version", "goversion"}},
		{State, Gauge, "1 for the current state of the guard, 0 for the others.", []string{"state"}},
		{Mode, Gauge, "1 for the current mode of the guard, 0 for the other.", []string{"mode"}},
		{Condition, Gauge, "1 if the condition of a part of the guard is OK, 0 if not.", []string{"condition"}},

		{TargetInfo, Gauge, "1 for each target, with its image and the source that found it (machined, cri, procfs).", workload("image", "source")},
		{CPU, Gauge, "CPU usage between the last two samples, in cores. Absent while it is unavailable.", workload()},
		{CPUSeconds, Counter, "CPU time used, from cpu.stat. Absent while it is unavailable.", workload()},
		{Throttled, Counter, "Throttled time by any limit, from cpu.stat, summed over all CPUs. Absent while it is unavailable.", workload()},
		{Memory, Gauge, "Memory usage, from memory.current. Absent while it is unavailable.", workload()},
		{TX, Gauge, "Bytes sent per second between the last two samples, over all interfaces of the pod except loopback. Absent while it is unavailable.", workload()},
		{TXBytes, Counter, "Bytes sent over all interfaces of the pod except loopback. Absent while they are unavailable.", workload()},
		{RX, Gauge, "Bytes received per second between the last two samples, over all interfaces of the pod except loopback. Absent while it is unavailable.", workload()},
		{RXBytes, Counter, "Bytes received over all interfaces of the pod except loopback. Absent while they are unavailable.", workload()},
		{Allocation, Gauge, "Bytes allocated per second, from the application metrics. Absent while it is unavailable.", workload()},
		{AllocationBytes, Counter, "Bytes allocated since the process started, from the application metrics. Absent while it is unavailable.", workload()},
		{Ready, Gauge, "1 if the target answered that it is ready, 0 if not. Absent while it is unavailable (target.metrics.readiness).", workload()},
		{MirrorRequests, Counter, "Requests to the target for content that the node does not have, from the application metrics. Absent while it is unavailable.", workload()},
		{MirrorHits, Counter, "Requests of which a peer had the content, from the application metrics. Absent while it is unavailable.", workload()},
		{Provenance, Gauge, "1 for the provenance of a signal (measured, derived, warming, unavailable), 0 for the others.", workload("signal", "provenance")},
		{LastSample, Gauge, "Unix time of the newest sample.", workload()},
	}
}

// rules returns the metrics of rules; their values and thresholds have a metric for each unit.
func rules() []Series {
	all := []Series{
		{RuleState, Gauge, "1 for the current state of the rule, 0 for the others.", workload("rule", "state")},
		{RulePending, Gauge, "Time since the rule became pending; 0 if it is not pending.", workload("rule")},
		{RuleTripsIn, Gauge, "Time until a pending rule fires if nothing changes. Absent if it is not pending, or if the time is unknown.", workload("rule")},
		{RuleCredit, Gauge, "Credit that is left, 0 to 1. Absent for rules without credit.", workload("rule")},
	}

	for _, unit := range policy.Units() {
		all = append(all,
			Series{RuleValue(unit), Gauge, "Average over the window of a rule, in " + unit.Name() + ". Absent while it is unavailable.", workload("rule", "signal")},
			Series{RuleThreshold(unit), Gauge, "Threshold of a rule, in " + unit.Name() + ".", workload("rule", "signal")},
		)
	}

	return all
}

// actions returns the metrics of ceilings, of the guard's own work and of the node.
func actions() []Series {
	return []Series{
		{Ceiling, Gauge, "Ceiling in force, in cores. Absent if there is none.", workload()},
		{FailedProbes, Gauge, "Probes in a row that measured the breach again. Absent without a desired ceiling.", workload()},
		{Throttles, Counter, "Ceilings that were applied, including those after a probe.", workload()},
		{Releases, Counter, "Ceilings that were released, for any reason but a probe.", workload()},
		{Probes, Counter, "Ceilings that were lifted briefly to measure the demand without them.", workload()},
		{ExternalChanges, Counter, "External changes of cpu.max while a ceiling was in force.", workload()},
		{ApplyFailures, Counter, "Failed attempts to write a ceiling or to restore the owner's limit, by error number.", []string{"errno"}},

		{SampleDuration, Histogram, "Time to read the counters of one container.", nil},
		{Reaction, Histogram, "Time from the start of the sample that caused a ceiling until it was in force, including the profile of evidence.profile.", nil},

		{NodeBlobs, Gauge, "Complete blobs in containerd's content store.", nil},
		{NodeContentBytes, Gauge, "Size of the complete blobs in containerd's content store.", nil},
		{NodePods, Gauge, "Ready pod sandboxes on the node.", nil},
	}
}
