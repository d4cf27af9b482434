//go:build linux

package metrics

import (
	"strings"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/series"
	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

var (
	modes       = []string{string(config.ModeObserve), string(config.ModeEnforce)}
	provenances = []string{resources.ProvenanceMeasured, resources.ProvenanceDerived, resources.ProvenanceUnavailable}
	ruleStates  = []string{
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
		well := 0.0
		if condition.TypedSpec().OK {
			well = 1
		}

		out.put(series.Condition, well, condition.Metadata().ID())
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

// known leaves out what is not: a 0 would be a lie.
func (s *sink) known(name string, reading resources.Reading, labels ...string) {
	if reading.Provenance != resources.ProvenanceUnavailable && reading.Provenance != "" {
		s.put(name, reading.Value, labels...)
	}
}

func target(out *sink, workload []string, sample *resources.TargetStatsSpec) {
	counters, program := &sample.Counters, &sample.Application

	out.known(series.CPU, sample.CPU, workload...)
	out.known(series.Memory, sample.MemoryBytes, workload...)
	out.known(series.TX, sample.TXBytesPerSecond, workload...)
	out.known(series.RX, sample.RXBytesPerSecond, workload...)
	out.known(series.Allocation, program.AllocBytesPerSecond, workload...)
	out.put(series.CPUSeconds, float64(counters.UsageUsec)/1e6, workload...)
	out.put(series.Throttled, float64(counters.ThrottledUsec)/1e6, workload...)
	out.put(series.TXBytes, float64(counters.TXBytes), workload...)
	out.put(series.RXBytes, float64(counters.RXBytes), workload...)
	out.put(series.LastSample, float64(sample.At.UnixNano())/1e9, workload...)

	// It has said so at least once.
	if program.Allocated > 0 {
		out.put(series.AllocationBytes, program.Allocated, workload...)
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

		target, name, ok := cutLast(rule.Metadata().ID())
		if !ok {
			return
		}

		labels := append(workloadOf(target), name)
		pending := 0.0

		if spec.State == string(policy.StatePending) {
			pending = max(0, time.Since(spec.Since).Seconds())
			out.put(series.RuleTripsIn, spec.TripsIn.Seconds(), labels...)
		}

		out.oneHot(series.RuleState, spec.State, ruleStates, labels...)
		out.put(series.RulePending, pending, labels...)

		// A bucket starts nearly full. Only one that was seen so is known to be there when it is empty.
		id := rule.Metadata().ID()
		if spec.Credit > 0 {
			c.credits[id] = struct{}{}
		}

		if _, ok := c.credits[id]; ok {
			out.put(series.RuleCredit, spec.Credit, labels...)
		}

		unit := policy.Signal(spec.Signal).Unit()
		if unit == "" {
			return // an expression has no value of its own
		}

		labels = append(labels, spec.Signal)
		out.put(series.RuleThreshold(unit), spec.Threshold, labels...)

		if spec.State != string(policy.StateUnavailable) {
			out.put(series.RuleValue(unit), spec.Value, labels...)
		}
	})
}

// cutLast takes a rule's id apart: its target's, and its name.
func cutLast(id string) (target, name string, ok bool) {
	at := strings.LastIndexByte(id, '/')
	if at < 0 {
		return "", "", false
	}

	return id[:at], id[at+1:], true
}

func (c *collector) ceilings(out *sink) {
	each(c, out, series.Ceiling, func(ceiling *resources.CeilingStatus) {
		spec := ceiling.TypedSpec()

		if cores := cgroup.Cores(spec.ReadBack); spec.State == resources.CeilingApplied && cores > 0 {
			out.put(series.Ceiling, cores, workloadOf(ceiling.Metadata().ID())...)
		}
	})
}
