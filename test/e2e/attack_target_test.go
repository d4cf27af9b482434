// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/test/hostile"
	"github.com/spegel-guard/spegel-guard/test/node"
)

// targetScenarios are what pods do.
func targetScenarios() []scenario {
	scenarios := []scenario{
		{"churn of pods", churnPods},
		{"large annotations", annotatePods},
	}

	modes := []hostile.Mode{hostile.ManyLabels, hostile.HugeBody, hostile.EndlessLine, hostile.OneByte}

	for _, mode := range modes[:many(len(modes))] {
		scenarios = append(scenarios, scenario{"metrics " + string(mode), func(t *testing.T, a *attack) { a.serve(t, mode) }})
	}

	return scenarios
}

// hostilePod returns the spec of a pod that the guard takes for spegel.
func hostilePod(name string) node.PodSpec {
	spec := node.SpegelPod(name)
	spec.Namespace = "hostile"

	return spec
}

// churnPods creates labelled pods and removes them.
func churnPods(t *testing.T, a *attack) {
	for i := range many(30) {
		pod, err := a.node.RunPod(t.Context(), hostilePod(fmt.Sprintf("churn-%d", i)))
		require.NoError(t, err)
		waitSamples(t, pod, 0, 2)
		require.NoError(t, pod.Remove(context.Background()))
	}
}

// annotatePods makes the answers of the runtime larger than gRPC's default limit. The target must still be found.
func annotatePods(t *testing.T, a *attack) {
	for i := range many(20) {
		spec := hostilePod(fmt.Sprintf("annotated-%d", i))
		spec.Annotations = map[string]string{"filler": strings.Repeat("x", 256<<10)}

		pod, err := a.node.RunSandbox(t.Context(), spec)
		require.NoError(t, err)
		t.Cleanup(func() { pod.Remove(context.Background()) })
	}

	// A restarted target is a new one for the discovery.
	require.NoError(t, a.spegel.StopContainer(t.Context()))
	require.NoError(t, a.spegel.StartContainer(t.Context()))
	waitSamples(t, a.spegel, 0, 2)
}

// serve lets the target serve invalid metrics.
func (a *attack) serve(t *testing.T, mode hostile.Mode) {
	t.Helper()

	require.NoError(t, a.spegel.StopContainer(t.Context()))

	a.spegel.Spec.Args = []string{"-hostile=" + string(mode)}
	require.NoError(t, a.spegel.StartContainer(t.Context()))

	waitSamples(t, a.spegel, boottime.Now(), max(4, many(20)))
}
