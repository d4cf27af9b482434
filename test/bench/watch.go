// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/role"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/test/node"
)

// watch opens a connection with a certificate of its own, and takes what talosctl get -w would of three types.
func watch(ctx context.Context, guard *node.Guard, name string, watching *sync.WaitGroup) error {
	client, err := guard.NewClient(ctx, guard.PKI, role.Reader)
	if err != nil {
		return fmt.Errorf("failed to connect %s: %w", name, err)
	}

	events := make(chan state.Event)

	for _, kind := range []resource.Kind{
		resources.NewGuardStatus(resources.GuardStatusID).Metadata(), resources.NewTargetStats("").Metadata(), resources.NewRuleStatus("").Metadata(),
	} {
		if err := client.COSI.WatchKind(ctx, kind, events); err != nil {
			return fmt.Errorf("failed to watch: %w", err)
		}
	}

	watching.Go(func() {
		defer client.Close() //nolint:errcheck // it is over

		for {
			select {
			case <-ctx.Done():
				return
			case <-events:
			}
		}
	})

	return nil
}
