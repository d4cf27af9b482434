// SPDX-License-Identifier: MPL-2.0

//go:build linux

package watcher

import (
	"context"
	"fmt"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/state"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// watched are the types that a client of the guard watches.
var watched = []resource.Kind{
	resources.NewGuardStatus(resources.GuardStatusID).Metadata(), resources.NewTargetStats("").Metadata(), resources.NewRuleStatus("").Metadata(),
}

// Watch watches three types of a guard, as talosctl get -w does. The function that it returns discards the events until the context ends.
func Watch(ctx context.Context, guard state.State) (func(), error) {
	events := make(chan state.Event)

	for _, kind := range watched {
		if err := guard.WatchKind(ctx, kind, events); err != nil {
			return nil, fmt.Errorf("failed to watch: %w", err)
		}
	}

	return func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-events:
			}
		}
	}, nil
}
