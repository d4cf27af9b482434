// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/siderolabs/talos/pkg/machinery/role"

	"github.com/spegel-guard/spegel-guard/test/bench/watcher"
	"github.com/spegel-guard/spegel-guard/test/node"
)

// watch opens a connection with its own certificate and watches three types, as talosctl get -w does.
func watch(ctx context.Context, guard *node.Guard, name string, watching *sync.WaitGroup) error {
	client, err := guard.NewClient(ctx, guard.PKI, role.Reader)
	if err != nil {
		return fmt.Errorf("failed to connect %s: %w", name, err)
	}

	discard, err := watcher.Watch(ctx, client.COSI)
	if err != nil {
		return err
	}

	watching.Go(func() {
		defer client.Close() //nolint:errcheck // the watch has ended

		discard()
	})

	return nil
}
