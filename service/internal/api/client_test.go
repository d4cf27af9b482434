// SPDX-License-Identifier: MPL-2.0

//go:build linux

package api_test

import (
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/blang/semver/v4"
	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/siderolabs/talos/pkg/machinery/version"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/api/apitest"
)

// aliases by which talosctl finds each type.
var aliases = map[resource.Type][]string{
	resources.GuardConfigType:    {"guardconfig", "guardconfigs"},
	resources.TargetType:         {"target", "targets"},
	resources.TargetStatsType:    {"targetstat", "targetstats"},
	resources.NodeStatsType:      {"nodestats"},
	resources.RuleStatusType:     {"rule", "rules", "rulestatus", "rulestatuses"},
	resources.DesiredCeilingType: {"desiredceiling", "desiredceilings"},
	resources.CeilingStatusType:  {"ceiling", "ceilings", "ceilingstatus", "ceilingstatuses"},
	resources.GuardActionType:    {"action", "actions", "guardaction", "guardactions"},
	resources.GuardStatusType:    {"spegel", "guardstatus", "guardstatuses"},
	resources.ConditionType:      {"condition", "conditions"},
	resources.VerdictType:        {"verdict", "verdicts"},
	resources.OverrideType:       {"override", "overrides"},
}

// TestServe_ListsByEveryAlias does what talosctl get does: alias to type, then the resource, with every field in its YAML.
func TestServe_ListsByEveryAlias(t *testing.T) {
	g := apitest.New(t, apitest.Options{})
	c := g.Client(t, role.Reader)

	specimens := apitest.Specimens()
	require.Len(t, aliases, len(specimens)+1, "no override is in force")

	for _, want := range specimens {
		kind := want.Metadata().Type()
		require.NotEmpty(t, aliases[kind], kind)

		for _, alias := range append([]string{kind, strings.ToLower(kind)}, aliases[kind]...) {
			namespace := ""

			definition, err := c.ResolveResourceKind(t.Context(), &namespace, alias)
			require.NoError(t, err, alias)
			assert.Equal(t, kind, definition.TypedSpec().Type, alias)
			assert.Equal(t, resources.Namespace, namespace, alias)
			assert.NotEmpty(t, definition.TypedSpec().PrintColumns, alias)
		}

		metadata := want.Metadata()

		got, err := c.COSI.Get(t.Context(), resource.NewMetadata(metadata.Namespace(), kind, metadata.ID(), resource.VersionUndefined))
		require.NoError(t, err, kind)
		assert.Equal(t, want.Spec(), got.Spec(), kind)

		list, err := c.COSI.List(t.Context(), resource.NewMetadata(resources.Namespace, kind, "", resource.VersionUndefined))
		require.NoError(t, err, kind)
		require.Len(t, list.Items, 1, kind)

		document, err := resource.MarshalYAML(got)
		require.NoError(t, err, kind)

		text, err := yaml.Marshal(document)
		require.NoError(t, err)

		for _, field := range yamlFields(reflect.TypeOf(want.Spec()).Elem()) {
			assert.Contains(t, string(text), field+":", kind)
		}
	}
}

// yamlFields are the names of all fields, of those within, too.
func yamlFields(kind reflect.Type) []string {
	var names []string

	if kind.Kind() != reflect.Struct || kind == reflect.TypeFor[time.Time]() {
		return nil
	}

	for i := range kind.NumField() {
		if kind.Field(i).Tag.Get("protobuf") == "-" {
			continue // in the YAML that is sent only
		}

		name, _, _ := strings.Cut(kind.Field(i).Tag.Get("yaml"), ",")
		names = append(append(names, name), yamlFields(kind.Field(i).Type)...)
	}

	return names
}

// TestServe_WatchesWithBootstrap is talosctl get -w: what is there, a mark, and every change from then on.
func TestServe_WatchesWithBootstrap(t *testing.T) {
	g := apitest.New(t, apitest.Options{})
	c := g.Client(t, role.Reader)

	events := make(chan state.Event)
	kind := resources.NewGuardStatus("").Metadata()
	require.NoError(t, c.COSI.WatchKind(t.Context(), kind, events, state.WithBootstrapContents(true)))

	first := apitest.Next(t, events)
	assert.Equal(t, state.Created, first.Type)
	assert.Equal(t, resources.StateThrottled, first.Resource.(*resources.GuardStatus).TypedSpec().State)
	assert.Equal(t, state.Bootstrapped, apitest.Next(t, events).Type)

	_, err := safe.StateUpdateWithConflicts(t.Context(), g.State, resources.NewGuardStatus(resources.GuardStatusID).Metadata(), func(r *resources.GuardStatus) error {
		r.TypedSpec().State = resources.StateOK

		return nil
	})
	require.NoError(t, err)

	changed := apitest.Next(t, events)
	assert.Equal(t, state.Updated, changed.Type)
	assert.Equal(t, resources.StateOK, changed.Resource.(*resources.GuardStatus).TypedSpec().State)
	assert.Equal(t, resources.StateThrottled, changed.Old.(*resources.GuardStatus).TypedSpec().State)

	require.NoError(t, g.State.Destroy(t.Context(), resources.NewGuardStatus(resources.GuardStatusID).Metadata()))
	assert.Equal(t, state.Destroyed, apitest.Next(t, events).Type)
}

// TestServe_PassesTalosctlsVersionCheck does what talosctl does before a command (cmd/talosctl/pkg/talos/helpers/checks.go):
// the server's tag must parse and not be older than the client's, or every command begins with a warning.
func TestServe_PassesTalosctlsVersionCheck(t *testing.T) {
	c := apitest.New(t, apitest.Options{}).Client(t, role.Reader)

	response, err := c.Version(t.Context())
	require.NoError(t, err)
	require.Len(t, response.GetMessages(), 1)

	message := response.GetMessages()[0]
	assert.NotEmpty(t, message.GetMetadata().GetHostname())
	assert.Contains(t, message.GetPlatform().GetName(), "spegel-guard")

	server, err := semver.ParseTolerant(message.GetVersion().GetTag())
	require.NoError(t, err)

	own, err := semver.ParseTolerant(version.NewVersion().GetTag())
	require.NoError(t, err)
	assert.GreaterOrEqual(t, server.Compare(own), 0)
}

func TestServe_RefusesWrites(t *testing.T) {
	g := apitest.New(t, apitest.Options{})
	c := g.Client(t, role.Admin)

	require.ErrorContains(t, c.COSI.Create(t.Context(), resources.NewTarget("x")), "read-only")
	require.ErrorContains(t, c.COSI.Destroy(t.Context(), resources.NewGuardStatus(resources.GuardStatusID).Metadata()), "read-only")

	list, err := c.COSI.List(t.Context(), resources.NewTarget("").Metadata())
	require.NoError(t, err)
	assert.Len(t, list.Items, 1, "none was added")
}

// TestServe_KeepsNothingOfUnknownResources: an in-memory state would keep each namespace that a request names.
func TestServe_KeepsNothingOfUnknownResources(t *testing.T) {
	g := apitest.New(t, apitest.Options{})
	c := g.Client(t, role.Reader)

	megabytes := func() float64 {
		var stats runtime.MemStats

		runtime.GC()
		runtime.ReadMemStats(&stats)

		return float64(stats.HeapAlloc) / 1e6
	}

	before := megabytes()

	for i := range 2000 {
		_, err := c.COSI.Get(t.Context(), resource.NewMetadata(fmt.Sprintf("invented-%d", i), resources.GuardStatusType, "spegel", resource.VersionUndefined))
		require.True(t, state.IsNotFoundError(err), "%v", err)
	}

	assert.Less(t, megabytes()-before, 5.0)
}
