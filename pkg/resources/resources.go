// SPDX-License-Identifier: MPL-2.0

// Package resources defines the COSI resources the guard works with and serves. Clients import it to
// get typed values: importing registers the types' wire format.
//
// Each type has a ResourceDefinition with aliases and print columns, so that an unmodified talosctl
// lists and watches it: talosctl -e NODE:50321 -n NODE get spegel.
package resources

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/meta"
	"github.com/cosi-project/runtime/pkg/resource/protobuf"
	"github.com/cosi-project/runtime/pkg/resource/typed"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/registry"
)

// Namespace of all the guard's resources.
const Namespace resource.Namespace = "spegelguard"

// all has a resource of each type.
var all = []meta.ResourceWithRD{
	&GuardConfig{}, &Target{}, &TargetStats{}, &NodeStats{}, &RuleStatus{}, &DesiredCeiling{}, &CeilingStatus{}, &GuardAction{}, &GuardStatus{}, &Condition{},
	&Verdict{}, &Override{},
}

// types are those of all. A request needs them often, and a definition is made anew each time.
var types = sync.OnceValue(func() map[resource.Type]bool {
	known := map[resource.Type]bool{}

	for _, r := range all {
		known[r.ResourceDefinition().Type] = true
	}

	return known
})

// Types returns the types of the guard's resources.
func Types() []resource.Type { return slices.Sorted(maps.Keys(types())) }

// IsType reports whether the guard has resources of a type.
func IsType(kind resource.Type) bool { return types()[kind] }

// Register makes the namespace and the resource definitions known to a state.
func Register(ctx context.Context, st state.State) error {
	namespaces := registry.NewNamespaceRegistry(st)

	if err := namespaces.RegisterDefault(ctx); err != nil {
		return fmt.Errorf("error registering the meta namespace: %w", err)
	}

	if err := namespaces.Register(ctx, Namespace, "spegel-guard's view of the node."); err != nil {
		return fmt.Errorf("error registering namespace %s: %w", Namespace, err)
	}

	definitions := registry.NewResourceRegistry(st)

	if err := definitions.RegisterDefault(ctx); err != nil {
		return fmt.Errorf("error registering the meta resources: %w", err)
	}

	for _, r := range all {
		if err := definitions.Register(ctx, r); err != nil {
			return fmt.Errorf("error registering %T: %w", r, err)
		}
	}

	return nil
}

// definition fills in what all the guard's definitions share. The plural name is an alias of its own accord.
//
// COSI's automatic aliases are off: its initials ("cs") would stand for two types at once.
func definition(t resource.Type, aliases []resource.Type, columns ...meta.PrintColumn) meta.ResourceDefinitionSpec {
	plural, _, _ := strings.Cut(strings.ToLower(t), ".")

	return meta.ResourceDefinitionSpec{
		Type: t, DefaultNamespace: Namespace, PrintColumns: columns, Sensitivity: meta.NonSensitive,
		Aliases:              aliases,
		AllAliases:           []resource.Type{plural, plural + ".spegelguard"},
		SkipAutomaticAliases: true,
	}
}

func column(name, path string) meta.PrintColumn {
	return meta.PrintColumn{Name: name, JSONPath: "{" + path + "}"}
}

// register ties a type to its wire format. It fails for mistakes in this package alone.
func register[S typed.DeepCopyable[S], E typed.Extension](t resource.Type) {
	if err := protobuf.RegisterDynamic[S](t, &typed.Resource[S, E]{}); err != nil {
		panic(err)
	}
}

// create returns a new resource of the guard's namespace.
func create[S typed.DeepCopyable[S], E typed.Extension](t resource.Type, id resource.ID) *typed.Resource[S, E] {
	var spec S

	return typed.NewResource[S, E](resource.NewMetadata(Namespace, t, id, resource.VersionUndefined), spec)
}
