// SPDX-License-Identifier: MPL-2.0

package resources_test

import (
	"strings"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/meta"
	"github.com/cosi-project/runtime/pkg/resource/protobuf"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/impl/inmem"
	"github.com/cosi-project/runtime/pkg/state/impl/namespaced"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"
	"k8s.io/client-go/util/jsonpath"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

func TestEveryTypeIsRegisteredAndNoAliasIsAmbiguous(t *testing.T) {
	st := state.WrapCore(namespaced.NewState(inmem.Build))
	require.NoError(t, resources.Register(t.Context(), st))

	definitions, err := safe.StateListAll[*meta.ResourceDefinition](t.Context(), st)
	require.NoError(t, err)

	owner := map[string]string{}

	for rd := range definitions.All() {
		for _, alias := range append(rd.TypedSpec().AllAliases, rd.Metadata().ID()) {
			assert.Empty(t, owner[alias], "alias %s of %s", alias, rd.Metadata().ID())
			owner[alias] = rd.Metadata().ID()
		}
	}

	for alias, want := range map[string]string{
		"spegel": "guardstatuses.spegelguard.dev", "targetstats": "targetstats.spegelguard.dev",
		"ceilingstatuses": "ceilingstatuses.spegelguard.dev", "rules": "rulestatuses.spegelguard.dev",
		"guardconfig": "guardconfigs.spegelguard.dev", "targets": "targets.spegelguard.dev",
		"actions": "guardactions.spegelguard.dev", "conditions": "conditions.spegelguard.dev",
	} {
		assert.Equal(t, want, owner[alias], alias)
	}
}

// TestWireFormat sends a resource through the protobuf a client gets.
func TestWireFormat(t *testing.T) {
	stats := resources.NewTargetStats("spegel/spegel-a/registry")
	*stats.TypedSpec() = resources.TargetStatsSpec{
		ContainerID: "c", At: time.Unix(1, 2).UTC(), Clock: time.Hour,
		CPU:              resources.Reading{Value: 1.8, Provenance: resources.ProvenanceMeasured},
		TXBytesPerSecond: resources.Reading{Provenance: resources.ProvenanceUnavailable, Reason: "host network"},
		Counters:         resources.Counters{UsageUsec: 1 << 60, TXBytes: 7},
	}

	assert.Equal(t, *stats.TypedSpec(), roundTrip(t, stats).(*resources.TargetStats).TypedSpec().DeepCopy())

	target := resources.NewTarget("x")
	target.TypedSpec().PID = 1 << 40
	target.TypedSpec().Started = time.Unix(5, 0).UTC()
	assert.Equal(t, *target.TypedSpec(), *roundTrip(t, target).(*resources.Target).TypedSpec())
}

// TestUnknownTimesAreAbsent: a client would show the year 1.
func TestUnknownTimesAreAbsent(t *testing.T) {
	for _, test := range []struct {
		name string
		spec any
		key  string
	}{
		{"target", resources.TargetSpec{}, "started"},
		{"ceiling status", resources.CeilingStatusSpec{}, "appliedAt"},
		{"guard action", resources.GuardActionSpec{At: time.Unix(1, 0)}, "until"},
	} {
		t.Run(test.name, func(t *testing.T) {
			text, err := yaml.Marshal(test.spec)
			require.NoError(t, err)
			assert.NotContains(t, string(text), "0001-01-01")
			assert.NotContains(t, string(text), test.key+":")
		})
	}
}

// TestColumns_AreForPeople prints the columns of every type as talosctl does, from the YAML: no raw numbers.
func TestColumns_AreForPeople(t *testing.T) {
	target := "spegel/spegel-2x7k2/registry"

	for _, test := range []struct {
		r    meta.ResourceWithRD
		set  func(resource.Resource)
		want string
	}{
		{resources.NewTargetStats(target), func(r resource.Resource) {
			spec := r.(*resources.TargetStats).TypedSpec()
			spec.CPU, spec.ThrottledRatio, spec.MemoryBytes = resources.Measured(1.8034217), resources.Derived(0.7391), resources.Measured(52428800)
			spec.TXBytesPerSecond, spec.RXBytesPerSecond = resources.Measured(1.3507173121950468e+06), resources.Warming()
			spec.Application.AllocBytesPerSecond = resources.Measured(9.6e9 / 60)
		}, "CPU 1803m|Throttled 74 %|Memory 50 MiB|TX 1.4 MB/s|RX -|Alloc 9.6 GB/min"},
		{resources.NewNodeStats(), func(r resource.Resource) {
			spec := r.(*resources.NodeStats).TypedSpec()
			spec.ContentBlobs, spec.DiskUsedRatio, spec.Pods = resources.Measured(1053), resources.Derived(0.7412), resources.Measured(59)
			spec.TXBytesPerSecond, spec.RXBytesPerSecond = resources.Measured(1.9e6), resources.Unavailable("no link")
			spec.NFSOperationsPerSecond, spec.NFSRoundTripSeconds = resources.Derived(12.3456), resources.Derived(0.00234)
		}, "Blobs 1053|Disk used 74 %|Pods 59|TX 1.9 MB/s|RX -|NFS operations 12.3/s|NFS RTT 2.3 ms"},
		{resources.NewRuleStatus(target + "/SpegelHighMemoryAllocation"), func(r resource.Resource) {
			*r.(*resources.RuleStatus).TypedSpec() = resources.RuleStatusSpec{
				Signal: "allocation", State: "pending", Value: 1.6e8, Threshold: 1e9 / 60, TripsIn: 90 * time.Second,
			}
		}, "State pending|Value 9.6 GB/min|Threshold 1.0 GB/min|Trips in 1m30s"},
		{resources.NewRuleStatus(target + "/Expression"), func(r resource.Resource) {
			*r.(*resources.RuleStatus).TypedSpec() = resources.RuleStatusSpec{Signal: "expression", State: "firing", Value: 1}
		}, "State firing|Value true|Threshold true|Trips in -"},
		{resources.NewRuleStatus(target + "/SpegelHighCPU"), func(r resource.Resource) {
			*r.(*resources.RuleStatus).TypedSpec() = resources.RuleStatusSpec{Signal: "cpu", State: "unavailable", Threshold: 0.4}
		}, "State unavailable|Value -|Threshold 400m|Trips in -"},
		{resources.NewDesiredCeiling(target), func(r resource.Resource) {
			*r.(*resources.DesiredCeiling).TypedSpec() = resources.DesiredCeilingSpec{CeilingMillicores: 500, Rule: "SpegelHighCPU", Mode: "enforce"}
		}, "Ceiling 500m|Rule SpegelHighCPU|Hold until |Mode enforce"},
		{resources.NewDesiredCeiling(target), func(resource.Resource) {}, "Ceiling -|Rule |Hold until |Mode "},
		{resources.NewCeilingStatus(target), func(r resource.Resource) {
			*r.(*resources.CeilingStatus).TypedSpec() = resources.CeilingStatusSpec{
				State: "applied", OwnerLimit: "max 100000", Applied: "50001 100000", ReadBack: "20000 50000", Rule: "SpegelHighCPU",
			}
		}, "State applied|Owner's limit max|Applied 500m|Read back 400m|Rule SpegelHighCPU|External changes 0|Last error "},
		{resources.NewGuardAction("1"), func(r resource.Resource) {
			*r.(*resources.GuardAction).TypedSpec() = resources.GuardActionSpec{
				Action: "apply", Target: target, Rule: "SpegelHighCPU", Before: "max 100000", After: "50001 100000",
			}
		}, "At |Action apply|Target " + target + "|Rule SpegelHighCPU|Change max -> 500m|By "},
		{resources.NewGuardAction("2"), func(r resource.Resource) {
			*r.(*resources.GuardAction).TypedSpec() = resources.GuardActionSpec{Action: "pause", Target: target, By: resources.Person{Subject: "CN=anna"}}
		}, "At |Action pause|Target " + target + "|Rule |Change -|By CN=anna"},
		{resources.NewOverride(target), func(r resource.Resource) {
			*r.(*resources.Override).TypedSpec() = resources.OverrideSpec{Kind: "throttle", CeilingMillicores: 300, Reason: "drill"}
		}, "Kind throttle|Ceiling 300m|Until |By |From |Reason drill"},
	} {
		t.Run(test.want, func(t *testing.T) {
			test.set(test.r)
			test.r.Spec().(interface{ Describe() }).Describe()

			text, err := yaml.Marshal(test.r.Spec())
			require.NoError(t, err)

			var spec any

			require.NoError(t, yaml.Unmarshal(text, &spec))

			var columns []string

			for _, column := range test.r.ResourceDefinition().PrintColumns {
				path := jsonpath.New(column.Name).AllowMissingKeys(true)
				require.NoError(t, path.Parse(column.JSONPath))

				var out strings.Builder

				require.NoError(t, path.Execute(&out, spec))
				columns = append(columns, column.Name+" "+out.String())
			}

			assert.Equal(t, test.want, strings.Join(columns, "|"))
		})
	}
}

func roundTrip(t *testing.T, r resource.Resource) resource.Resource {
	t.Helper()

	encoded, err := protobuf.FromResource(r)
	require.NoError(t, err)

	wire, err := encoded.Marshal()
	require.NoError(t, err)

	decoded, err := protobuf.Unmarshal(wire)
	require.NoError(t, err)

	back, err := protobuf.UnmarshalResource(decoded)
	require.NoError(t, err)

	return back
}
