// SPDX-License-Identifier: MPL-2.0

package talos_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/test/talos"
)

// bootCompletes: nothing that Talos' boot waits for is missing.
func (s *scenario) bootCompletes(t *testing.T) {
	bootstrap(t, s.node)
	waitBooted(t, s.node, s.booted)
}

// bootstrap creates etcd and waits until Talos finds it and kubelet healthy.
func bootstrap(t *testing.T, n *talos.Node) {
	t.Helper()

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	require.NoError(t, n.Bootstrap(ctx))
	waitHealthy(t, n, "etcd", "kubelet")
}

// waitHealthy waits until services of Talos run and pass their health checks.
func waitHealthy(t *testing.T, n *talos.Node, services ...string) {
	t.Helper()

	eventually(t, n, "waiting for "+strings.Join(services, ", "), func(ctx context.Context) error {
		out, err := n.Talosctl(ctx, "services")
		if err != nil {
			return err
		}

		for _, name := range services {
			if state := serviceState(out, name); state != "Running OK" {
				return fmt.Errorf("service %s: %s", name, state)
			}
		}

		return nil
	})
}

// serviceState returns the state and the health of a service in the table that talosctl prints.
func serviceState(table, name string) string {
	for line := range strings.Lines(table) {
		if columns := strings.Fields(line); len(columns) > 3 && columns[1] == name {
			return columns[2] + " " + columns[3]
		}
	}

	return "missing"
}

// waitBooted waits until the boot whose output begins at from, in bytes, is complete.
func waitBooted(t *testing.T, n *talos.Node, from int) {
	t.Helper()

	eventually(t, n, "waiting for the end of the boot", func(ctx context.Context) error {
		if !strings.Contains(n.Console()[from:], "boot sequence: done") {
			return errors.New("the sequence goes on")
		}

		out, err := n.Talosctl(ctx, "get", "machinestatus", "-o", "yaml")
		if err == nil && !strings.Contains(out, "stage: running") {
			err = fmt.Errorf("its status:\n%s", out)
		}

		return err
	})
}
