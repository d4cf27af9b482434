// SPDX-License-Identifier: MPL-2.0

package resources_test

import (
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
