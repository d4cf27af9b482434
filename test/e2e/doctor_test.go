// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

// runDoctor returns the checks of the doctor by name.
func runDoctor(ctx context.Context, t *testing.T, guard guardv1alpha1.GuardServiceClient) map[string]*guardv1alpha1.Check {
	t.Helper()

	response, err := guard.Doctor(ctx, &guardv1alpha1.DoctorRequest{})
	require.NoError(t, err)
	require.Len(t, response.GetMessages(), 1)

	found := map[string]*guardv1alpha1.Check{}

	for _, check := range response.GetMessages()[0].GetChecks() {
		t.Logf("%-13s %-8s %s", check.GetName(), check.GetState(), check.GetMessage())

		found[check.GetName()] = check
	}

	return found
}

// TestDoctor_PassesOnHealthyNode checks the service as Talos runs it. machined is not there, so its check is left out.
func TestDoctor_PassesOnHealthyNode(t *testing.T) {
	l := newLoop(t, fast, nil)

	_, err := l.guard.WaitState(t.Context(), patience, resources.StateOK)
	require.NoError(t, err)

	operator := l.operator(t)

	// The state is published before the condition of the sampling.
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		found := runDoctor(t.Context(), t, operator)

		for _, name := range []string{"kernel", "cgroup", "cri", "saved state", "config", "discovery", "sampling", "cpu.max"} {
			assert.Equal(c, "ok", found[name].GetState(), name)
		}
	}, patience, 100*time.Millisecond)
}

// checkReadOnlyDoctor: the doctor reports a read-only cpu.max before a ceiling is due.
func checkReadOnlyDoctor(t *testing.T, p *process) {
	t.Helper()

	found := runDoctor(t.Context(), t, p.guard)
	assert.Equal(t, "failed", found["cpu.max"].GetState())
	assert.Contains(t, found["cpu.max"].GetMessage(), "read-only")
	assert.Contains(t, found["cpu.max"].GetFix(), "read-write")
}
