// SPDX-License-Identifier: MPL-2.0

//go:build linux

package metrics

import (
	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/internal/series"
	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

var (
	modes       = []string{string(config.ModeObserve), string(config.ModeEnforce)}
	provenances = []string{
		resources.ProvenanceMeasured, resources.ProvenanceDerived, resources.ProvenanceWarming, resources.ProvenanceUnavailable,
	}
	ruleStates = []string{
		string(policy.StateOK), string(policy.StatePending), string(policy.StateFiring), string(policy.StateReleasing), string(policy.StateUnavailable),
	}
)

func (c *collector) guard(out *sink) {
	each(c, out, series.State, func(status *resources.GuardStatus) {
		out.oneHot(series.State, status.TypedSpec().State, resources.GuardStates())
		out.oneHot(series.Mode, status.TypedSpec().Mode, modes)
	})
}

func (c *collector) conditions(out *sink) {
	each(c, out, series.Condition, func(condition *resources.Condition) {
		ok := 0.0
		if condition.TypedSpec().OK {
			ok = 1
		}

		out.put(series.Condition, ok, condition.Metadata().ID())
	})
}

func (c *collector) node(out *sink) {
	each(c, out, series.NodeBlobs, func(node *resources.NodeStats) {
		spec := node.TypedSpec()

		out.known(series.NodeBlobs, spec.ContentBlobs)
		out.known(series.NodeContentBytes, spec.ContentBytes)
		out.known(series.NodePods, spec.Pods)
	})
}

// known puts a reading, or nothing if it is unavailable or warming: an alert would take a 0 for a value.
func (s *sink) known(name string, reading resources.Reading, labels ...string) {
	if reading.Known() {
		s.put(name, reading.Value, labels...)
	}
}

// counted puts a counter, also while its rate is warming; nothing if it is unavailable: a rate of it would be 0.
func (s *sink) counted(name string, rate resources.Reading, total float64, labels ...string) {
	if rate.Provenance != resources.ProvenanceUnavailable {
		s.put(name, total, labels...)
	}
}

func target(out *sink, workload []string, sample *resources.TargetStatsSpec) {
	counters, application := &sample.Counters, &sample.Application

	out.known(series.CPU, sample.CPU, workload...)
	out.known(series.Memory, sample.MemoryBytes, workload...)
	out.known(series.TX, sample.TXBytesPerSecond, workload...)
	out.known(series.RX, sample.RXBytesPerSecond, workload...)
	out.known(series.Allocation, application.AllocBytesPerSecond, workload...)
	out.counted(series.CPUSeconds, sample.CPU, float64(counters.UsageUsec)/1e6, workload...)
	out.counted(series.Throttled, sample.ThrottledRatio, float64(counters.ThrottledUsec)/1e6, workload...)
	out.counted(series.TXBytes, sample.TXBytesPerSecond, float64(counters.TXBytes), workload...)
	out.counted(series.RXBytes, sample.RXBytesPerSecond, float64(counters.RXBytes), workload...)

	// Absent while the system's clock is not set.
	if !sample.At.IsZero() {
		out.put(series.LastSample, float64(sample.At.UnixNano())/1e9, workload...)
	}

	// 0 until the application metrics were read for the first time.
	if application.Allocated > 0 {
		out.put(series.AllocationBytes, application.Allocated, workload...)
	}

	out.known(series.Ready, application.Ready, workload...)

	if application.MirrorRequestsPerSecond.Known() {
		out.put(series.MirrorRequests, application.MirrorRequests, workload...)
		out.put(series.MirrorHits, application.MirrorHits, workload...)
	}

	for _, signal := range policy.Signals() {
		out.oneHot(series.Provenance, sample.Signal(signal).Provenance, provenances, append(workload[:3:3], string(signal))...)
	}
}

func (c *collector) targets(out *sink) {
	each(c, out, series.TargetInfo, func(target *resources.Target) {
		spec := target.TypedSpec()
		out.put(series.TargetInfo, 1, append(workloadOf(target.Metadata().ID()), spec.Image, spec.Source)...)
	})
}

func (c *collector) rules(out *sink) {
	each(c, out, series.RuleState, func(rule *resources.RuleStatus) {
		spec := rule.TypedSpec()

		labels := split(rule.Metadata().ID(), 4)
		pending := 0.0

		if spec.State == string(policy.StatePending) {
			pending = max(0, (boottime.Now() - spec.SinceClock).Seconds())

			if spec.TripsIn > 0 {
				out.put(series.RuleTripsIn, spec.TripsIn.Seconds(), labels...)
			}
		}

		out.oneHot(series.RuleState, spec.State, ruleStates, labels...)
		out.put(series.RulePending, pending, labels...)

		if spec.HasCredit {
			out.put(series.RuleCredit, spec.Credit, labels...)
		}

		unit := policy.Signal(spec.Signal).Unit()
		if unit == "" {
			return // an expression has no value
		}

		labels = append(labels, spec.Signal)
		out.put(series.RuleThreshold(unit), spec.Threshold, labels...)

		if spec.State != string(policy.StateUnavailable) {
			out.put(series.RuleValue(unit), spec.Value, labels...)
		}
	})
}

func (c *collector) ceilings(out *sink) {
	each(c, out, series.Ceiling, func(ceiling *resources.CeilingStatus) {
		spec := ceiling.TypedSpec()

		if cores := cgroup.Cores(spec.ReadBack); spec.InForce() && cores > 0 {
			out.put(series.Ceiling, cores, workloadOf(ceiling.Metadata().ID())...)
		}
	})

	each(c, out, series.FailedProbes, func(desired *resources.DesiredCeiling) {
		if spec := desired.TypedSpec(); !spec.None() {
			out.put(series.FailedProbes, float64(spec.FailedProbes), workloadOf(desired.Metadata().ID())...)
		}
	})
}
