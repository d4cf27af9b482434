// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
	"github.com/spegel-guard/spegel-guard/test/hostile"
	"github.com/spegel-guard/spegel-guard/test/node"
)

// TestSampler_HostileMetricsDelayNoSample lets the target serve invalid metrics in every mode of test/hostile. The samples
// must not be delayed.
func TestSampler_HostileMetricsDelayNoSample(t *testing.T) {
	l := newLoop(t, strings.NewReplacer("interval: 2s\ntarget", "interval: 500ms\ntarget", "interval: 2s}", "interval: 1s}").Replace(watching)+traced, nil)
	ctx := t.Context()

	events := make(chan state.Event, 4096)
	kind := resource.NewMetadata(resources.Namespace, resources.TargetStatsType, "", resource.VersionUndefined)
	require.NoError(t, l.guard.Client.COSI.WatchKind(ctx, kind, events))

	healthy := waitSamples(t, l.spegel, 0, 8)
	machine := startMetronome(t)

	for _, mode := range hostile.Modes() {
		require.NoError(t, l.spegel.StopContainer(ctx))

		l.spegel.Spec.Args = []string{"-hostile=" + string(mode)}

		machine.late(t)
		require.NoError(t, l.spegel.StartContainer(ctx))

		reason := waitUnavailable(t, events, l.spegel.ContainerID)
		// The sampler continues after that.
		got := waitSamples(t, l.spegel, 0, len(sampleTimes(t, l.spegel, 0))+5)

		t.Logf("%-20s %3d samples, at most %v between two, unavailable: %s", mode, got.samples, got.longest.Round(time.Millisecond), reason)
		got.steady(t, healthy, machine.late(t))
	}
}

// waitUnavailable waits until the allocation rate of a container is unavailable because of its answer, and returns the
// reason.
func waitUnavailable(t *testing.T, events chan state.Event, container string) (reason string) {
	t.Helper()

	for timeout := time.After(patience); ; {
		select {
		case <-timeout:
			t.Fatal("the allocation rate is still available")
		case event := <-events:
			stats, ok := event.Resource.(*resources.TargetStats)
			if !ok || stats.TypedSpec().ContainerID != container || event.Type == state.Destroyed {
				continue
			}

			spec := stats.TypedSpec()
			require.Equal(t, resources.ProvenanceMeasured, spec.MemoryBytes.Provenance, "the cgroup's values are unaffected")

			reading := spec.Application.AllocBytesPerSecond

			if reading.Provenance == resources.ProvenanceUnavailable && reading.Reason != "no answer yet" &&
				!strings.Contains(reading.Reason, "connection refused") {
				return reading.Reason
			}
		}
	}
}

// allEvidence is what an action says of its evidence if nothing is missing.
var allEvidence = regexp.MustCompile(`^\(cpu-before\.pprof, metrics-before\.txt is .+ older than the action, metrics-after\.txt follows\)$`)

// TestEvidence_BeforeAndAfterCeiling: metrics and profile are from before the ceiling, other metrics from after it, and the action
// names their folder.
func TestEvidence_BeforeAndAfterCeiling(t *testing.T) {
	// The workload uses one processor at most, and four fifths of it under the ceiling, so that it answers the guard in time: a profile
	// may take 3 s longer than its 2 s, and the metrics 3 s.
	l := newLoop(t, strings.Replace(fast, "cpu: 500m", "cpu: 800m", 1)+"evidence: {profile: 2s, limit: 1M}\n", nil)
	ctx := t.Context()

	require.NoError(t, l.spegel.Steer(ctx, map[string]any{
		"mode": "sustained", "blobs": 1053, "workers": 1, "peers": []string{l.peer.IP + ":5001"},
	}))
	waitCPUMax(t, l, l.spegel, "80001 100000", patience)

	apply := l.applied(t, time.Time{})

	// What is not there in time is left out. A machine that stood still has another ceiling applied.
	for deadline := time.Now().Add(2 * patience); !hasEvidence(t, apply) && time.Now().Before(deadline); {
		_, err := l.operator(t).Release(ctx, &guardv1alpha1.ReleaseRequest{For: durationpb.New(time.Hour)})
		require.NoError(t, err)
		waitCPUMax(t, l, l.spegel, unlimited, patience)

		_, err = l.operator(t).Resume(ctx, &guardv1alpha1.ResumeRequest{})
		require.NoError(t, err)

		apply = l.applied(t, apply.At)
	}

	folder, files, _ := strings.Cut(apply.Evidence, " ")
	require.Equal(t, "/run/spegel-guard/evidence", filepath.Dir(folder), apply.Evidence)
	assert.Regexp(t, allEvidence, files)

	for _, name := range []string{"metrics-before.txt", "metrics-after.txt"} {
		var metrics []byte

		require.Eventually(t, func() bool {
			var err error
			metrics, err = os.ReadFile(filepath.Join(folder, name))

			return err == nil && strings.Contains(string(metrics), "go_memstats_alloc_bytes_total")
		}, patience, 100*time.Millisecond, name)
	}

	profile, err := os.ReadFile(filepath.Join(folder, "cpu-before.pprof"))
	require.NoError(t, err)
	assert.Equal(t, []byte{0x1f, 0x8b}, profile[:2], "gzip")

	for name, after := range map[string]bool{"metrics-before.txt": false, "cpu-before.pprof": false, "metrics-after.txt": true} {
		info, err := os.Stat(filepath.Join(folder, name))
		require.NoError(t, err)

		// The system's clock is not that of the ceiling: some milliseconds may be between them.
		if slack := 100 * time.Millisecond; after {
			assert.True(t, info.ModTime().After(apply.At.Add(-slack)), "%s is from before the ceiling", name)
		} else {
			assert.True(t, info.ModTime().Before(apply.At.Add(slack)), "%s is from after the ceiling", name)
		}
	}
}

// applied waits for a ceiling that was applied after a time.
func (l *loop) applied(t *testing.T, after time.Time) (apply resources.GuardActionSpec) {
	t.Helper()

	require.Eventually(t, func() bool {
		actions, err := safe.StateListAll[*resources.GuardAction](t.Context(), l.guard.Client.COSI)
		require.NoError(t, err)

		for action := range actions.All() {
			if spec := action.TypedSpec(); spec.Action == resources.ActionApply && spec.At.After(after) {
				apply = *spec
			}
		}

		return apply.Action != ""
	}, patience, 100*time.Millisecond, "no ceiling is applied\n%s", l.guard.Log)

	return apply
}

// hasEvidence waits for the last file, or for the reason why it is missing. It reports whether none is missing.
func hasEvidence(t *testing.T, apply resources.GuardActionSpec) bool {
	t.Helper()

	folder, files, _ := strings.Cut(apply.Evidence, " ")
	if !allEvidence.MatchString(files) {
		t.Log(apply.Evidence)

		return false
	}

	exists := func(name string) bool {
		_, err := os.Stat(filepath.Join(folder, name))

		return err == nil
	}

	require.Eventually(t, func() bool { return exists("metrics-after.txt") || exists("metrics-after.failed") }, patience, 100*time.Millisecond)

	return exists("metrics-after.txt")
}

// TestStats_DistinguishPodsAndHostNetwork: two matching pods are two targets. For a pod in the node's network only the
// traffic is unavailable.
func TestStats_DistinguishPodsAndHostNetwork(t *testing.T) {
	l := newLoop(t, watching, nil)
	ctx := t.Context()

	spec := node.SpegelPod("spegel-n3wer")
	spec.HostNetwork = true

	newer, err := l.node.RunPod(ctx, spec)
	require.NoError(t, err)
	t.Cleanup(func() { newer.Remove(context.Background()) })

	require.EventuallyWithT(t, func(t *assert.CollectT) {
		list, err := safe.StateListAll[*resources.TargetStats](ctx, l.guard.Client.COSI)
		if !assert.NoError(t, err) || !assert.Equal(t, 2, list.Len()) {
			return
		}

		for stats := range list.All() {
			spec := stats.TypedSpec()
			host := stats.Metadata().ID() == "spegel/spegel-n3wer/registry"

			assert.Equal(t, resources.ProvenanceMeasured, spec.CPU.Provenance)
			assert.Equal(t, resources.ProvenanceMeasured, spec.Application.AllocBytesPerSecond.Provenance, spec.Application.AllocBytesPerSecond.Reason)

			if host {
				assert.Equal(t, resources.ProvenanceUnavailable, spec.TXBytesPerSecond.Provenance)
				assert.Contains(t, spec.TXBytesPerSecond.Reason, "the node's network")
			} else {
				assert.Equal(t, resources.ProvenanceMeasured, spec.TXBytesPerSecond.Provenance)
			}
		}
	}, patience, 500*time.Millisecond)
}
