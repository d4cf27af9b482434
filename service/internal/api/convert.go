// SPDX-License-Identifier: MPL-2.0

//go:build linux

package api

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

func protoReading(r resources.Reading) *guardv1alpha1.Reading {
	return &guardv1alpha1.Reading{Value: r.Value, Provenance: r.Provenance, Reason: r.Reason}
}

// protoTime is nil for no time.
func protoTime(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}

	return timestamppb.New(t)
}

func protoRule(name string, spec *resources.RuleStatusSpec) *guardv1alpha1.RuleStatus {
	return &guardv1alpha1.RuleStatus{
		Name: name, Signal: spec.Signal, State: spec.State, Value: spec.Value, Threshold: spec.Threshold,
		Since: protoTime(spec.Since), TripsIn: durationpb.New(spec.TripsIn), Reason: spec.Reason,
		Credit: spec.Credit, Mode: spec.Mode,
	}
}

func protoCeiling(spec *resources.CeilingStatusSpec) *guardv1alpha1.CeilingStatus {
	return &guardv1alpha1.CeilingStatus{
		State: spec.State, Rule: spec.Rule, OwnerLimit: spec.OwnerLimit, Applied: spec.Applied, ReadBack: spec.ReadBack,
		ExternalChanges: spec.ExternalChanges, LastError: spec.LastError, Cores: cgroup.Cores(spec.ReadBack),
	}
}

func protoHold(spec *resources.DesiredCeilingSpec) *guardv1alpha1.Hold {
	return &guardv1alpha1.Hold{
		Rule: spec.Rule, Reason: spec.Reason, CeilingMillicores: spec.CeilingMillicores, Since: protoTime(spec.Since),
		Until: protoTime(spec.HoldUntil), Mode: spec.Mode, Probing: spec.Probing, ReleasesIn: durationpb.New(spec.ReleasesIn),
		Blockers: spec.Blockers,
	}
}

func protoVerdict(spec *resources.VerdictSpec) *guardv1alpha1.Verdict {
	return &guardv1alpha1.Verdict{
		At: protoTime(spec.At), Rule: spec.Rule, Outcome: spec.Outcome, Reason: spec.Reason, Ended: spec.Ended,
		Before: protoUsage(spec.Before), During: protoUsage(spec.During), After: protoUsage(spec.After),
	}
}

// protoUsage is nil for no time at all.
func protoUsage(usage resources.Usage) *guardv1alpha1.Usage {
	if usage.Over <= 0 {
		return nil
	}

	return &guardv1alpha1.Usage{
		Over: durationpb.New(usage.Over), CoreSeconds: usage.CoreSeconds, TxBytes: usage.TXBytes, RxBytes: usage.RXBytes,
		AllocatedBytes: usage.AllocatedBytes, ThrottledSeconds: usage.ThrottledSeconds,
	}
}

func protoPerson(person resources.Person) *guardv1alpha1.Person {
	if person.IsZero() {
		return nil
	}

	return &guardv1alpha1.Person{Subject: person.Subject, Fingerprint: person.Fingerprint, From: person.From}
}

func protoOverride(target string, spec resources.OverrideSpec) *guardv1alpha1.Override {
	return &guardv1alpha1.Override{
		Target: target, Kind: spec.Kind, CeilingMillicores: spec.CeilingMillicores, Since: protoTime(spec.Since),
		Until: protoTime(spec.Until), By: protoPerson(spec.By), Reason: spec.Reason,
	}
}

func protoAction(id string, spec *resources.GuardActionSpec) *guardv1alpha1.Action {
	return &guardv1alpha1.Action{
		Id: id, At: protoTime(spec.At), Action: spec.Action, Mode: spec.Mode, Target: spec.Target, ContainerId: spec.ContainerID,
		Rule: spec.Rule, Reason: spec.Reason, Before: spec.Before, After: spec.After, Error: spec.Error, Evidence: spec.Evidence,
		By: protoPerson(spec.By), Until: protoTime(spec.Until),
	}
}
