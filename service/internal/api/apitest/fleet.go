// SPDX-License-Identifier: MPL-2.0

//go:build linux

package apitest

import (
	"testing"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// NewFleet serves a control plane node, whose state is throttled, and a worker, whose state is pending. Their guards
// listen on one port.
func NewFleet(t *testing.T) (controlPlane, worker *Guard) {
	t.Helper()

	authority, port := NewPKI(t), FreePort(t)

	controlPlane = New(t, Options{PKI: authority, Host: "127.0.0.1", Port: port, ControlPlane: true, Forward: true})
	worker = New(t, Options{PKI: authority, Host: "127.0.0.2", Port: port, Forward: true})

	_, err := safe.StateUpdateWithConflicts(t.Context(), worker.State, resources.NewGuardStatus(resources.GuardStatusID).Metadata(), func(r *resources.GuardStatus) error {
		r.TypedSpec().State = resources.StatePending

		return nil
	})
	require.NoError(t, err)

	return controlPlane, worker
}
