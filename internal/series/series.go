// SPDX-License-Identifier: MPL-2.0

// Package series names the Prometheus metrics that a guard exports: what serves them, the alerts, the dashboard
// and the documentation all take them from here.
//
// Units are base units, as the Prometheus naming practice has them (https://prometheus.io/docs/practices/naming/),
// and processor time is cores or seconds. No label holds a container's id: those change with each restart.
package series

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

// Names of those that alerts are about.
const (
	Ceiling         = "spegel_guard_ceiling_cores"
	State           = "spegel_guard_state"
	Throttles       = "spegel_guard_throttles_total"
	ApplyFailures   = "spegel_guard_apply_failures_total"
	ExternalChanges = "spegel_guard_external_changes_total"
	LastSample      = "spegel_guard_last_sample_timestamp_seconds"
)

// The others.
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
	Provenance      = "spegel_guard_target_signal_provenance"

	RuleState      = "spegel_guard_rule_state"
	RulePending    = "spegel_guard_rule_pending_seconds"
	RuleTripsIn    = "spegel_guard_rule_trips_in_seconds"
	RuleCredit     = "spegel_guard_rule_credit_ratio" //nolint:gosec // it is no secret
	ValueCores     = "spegel_guard_rule_value_cores"
	ValueBytes     = "spegel_guard_rule_value_bytes_per_second"
	ValueRatio     = "spegel_guard_rule_value_ratio"
	ThresholdCores = "spegel_guard_rule_threshold_cores"
	ThresholdBytes = "spegel_guard_rule_threshold_bytes_per_second"
	ThresholdRatio = "spegel_guard_rule_threshold_ratio"

	Releases = "spegel_guard_releases_total"
	Probes   = "spegel_guard_probes_total"

	NodeBlobs        = "spegel_guard_node_content_blobs"
	NodeContentBytes = "spegel_guard_node_content_bytes"
	NodePods         = "spegel_guard_node_pods"
)

// workload labels say which container it is about.
func workload(more ...string) []string {
	return append([]string{"namespace", "pod", "container"}, more...)
}

// All are all of them, in the order in which they are explained.
func All() []Series {
	return []Series{
		{BuildInfo, Gauge, "1, with the guard's version and the Go version that built it.", []string{"version", "goversion"}},
		{State, Gauge, "1 for the state that the guard is in, 0 for every other.", []string{"state"}},
		{Mode, Gauge, "1 for the mode that the guard is in, 0 for the other: observe writes nothing.", []string{"mode"}},
		{Condition, Gauge, "1 when a part of the guard is well, 0 when it is not.", []string{"condition"}},

		{TargetInfo, Gauge, "1 for each container that is guarded, with its image and who found it.", workload("image", "source")},
		{CPU, Gauge, "Processor use between the last two samples, in cores. Absent while it is not known.", workload()},
		{CPUSeconds, Counter, "Processor time used, from cpu.stat.", workload()},
		{Throttled, Counter, "Processor time held back by any limit, from cpu.stat; that of several processors adds up.", workload()},
		{Memory, Gauge, "Memory in use, from memory.current. Absent while it is not known.", workload()},
		{TX, Gauge, "Bytes sent per second between the last two samples, over all links of the pod but loopback. Absent while it is not known.", workload()},
		{TXBytes, Counter, "Bytes sent over all links of the pod but loopback.", workload()},
		{RX, Gauge, "Bytes received per second between the last two samples, over all links of the pod but loopback. Absent while it is not known.", workload()},
		{RXBytes, Counter, "Bytes received over all links of the pod but loopback.", workload()},
		{Allocation, Gauge, "Bytes allocated per second by the program, as it says itself. Absent while it is not known.", workload()},
		{AllocationBytes, Counter, "Bytes allocated by the program since it started, as it says itself. Absent while it is not known.", workload()},
		{Provenance, Gauge, "1 for how a signal is known (measured, derived, warming, unavailable), 0 for every other way.", workload("signal", "provenance")},
		{LastSample, Gauge, "When the newest sample was taken, in Unix time.", workload()},

		{RuleState, Gauge, "1 for the state that the rule is in, 0 for every other.", workload("rule", "state")},
		{RulePending, Gauge, "How long the rule has been pending; 0 while it is not.", workload("rule")},
		{RuleTripsIn, Gauge, "Time until a pending rule fires if nothing changes. Absent while it is not pending.", workload("rule")},
		{RuleCredit, Gauge, "What is left in the bucket of a rule with credit, 0 to 1.", workload("rule")},
		{ValueCores, Gauge, "What a rule about processor use compares: the average over its window.", workload("rule", "signal")},
		{ValueBytes, Gauge, "What a rule about traffic or allocation compares: the average over its window.", workload("rule", "signal")},
		{ValueRatio, Gauge, "What a rule about throttling or pressure compares: the average over its window, 0 to 1.", workload("rule", "signal")},
		{ThresholdCores, Gauge, "What a rule about processor use compares with.", workload("rule", "signal")},
		{ThresholdBytes, Gauge, "What a rule about traffic or allocation compares with.", workload("rule", "signal")},
		{ThresholdRatio, Gauge, "What a rule about throttling or pressure compares with, 0 to 1.", workload("rule", "signal")},

		{Ceiling, Gauge, "The ceiling in force, in cores. Absent when there is none.", workload()},
		{Throttles, Counter, "Ceilings that were put in force, those after a probe included.", workload()},
		{Releases, Counter, "Ceilings that were taken back for good, for whatever reason.", workload()},
		{Probes, Counter, "Ceilings that were lifted for a moment to see what demand is like without them.", workload()},
		{ExternalChanges, Counter, "How often somebody else wrote cpu.max under a ceiling.", workload()},
		{ApplyFailures, Counter, "Ceilings that could not be written or taken back, by the kernel's error.", []string{"errno"}},

		{SampleDuration, Histogram, "How long it took to read all of one container's counters.", nil},
		{Reaction, Histogram, "From the start of the sample that a ceiling was due to until it was in force, evidence included.", nil},

		{NodeBlobs, Gauge, "Complete blobs in containerd's content store.", nil},
		{NodeContentBytes, Gauge, "Size of the complete blobs in containerd's content store.", nil},
		{NodePods, Gauge, "Ready pod sandboxes on the node.", nil},
	}
}
