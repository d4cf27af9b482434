// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/service/fleettest"
)

// TestCapture_SetsExitCodes: without the evidence of a target the command failed, and a node that rejects it is not unavailable.
func TestCapture_SetsExitCodes(t *testing.T) {
	// The incident's culprit has no evidence.
	guardOf := func(ctx context.Context, f fleettest.Figures, host string, port int) (*fleettest.Guard, error) {
		guard, err := fleettest.NewWith(ctx, f, host, port)
		if err == nil && f.Throttled {
			guard.CaptureError = errors.New("/metrics and the profiles are unavailable")
		}

		return guard, err
	}

	c := newClusterOf(t, guardOf, role.Operator)

	got := c.run("capture")
	assert.Equal(t, 1, got.code, got.stderr)
	assert.Contains(t, got.stdout, "/run/spegel-guard/captures/1")
	assert.Contains(t, got.stdout, "/metrics and the profiles are unavailable")
	assert.Empty(t, got.stderr)

	assert.Equal(t, 0, c.run("capture", "-n", "talos-prod-1").code)

	c.talosconfig = c.config(t, []string{"talos-prod-1"}, role.Reader)
	got = c.run("capture")
	assert.Equal(t, 1, got.code)
	assert.Contains(t, got.stderr, "PermissionDenied")
}
