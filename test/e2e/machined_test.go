// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/test/images"
	"github.com/spegel-guard/spegel-guard/test/machined"
	"github.com/spegel-guard/spegel-guard/test/node"
)

// TestDiscovery_SwitchesSources starts and stops machined. The target stays the same, only its source changes. The guard asks its
// sources after an event of a pod that is selected, and at long intervals.
func TestDiscovery_SwitchesSources(t *testing.T) {
	l := newLoop(t, watching, nil)
	before := waitFoundBy(t, l, "cri")

	require.NoError(t, os.MkdirAll(filepath.Dir(machinedSocket), 0o755))

	m, err := machined.New(t.Context(), machinedSocket)
	require.NoError(t, err)

	m.Set(slices.Concat(containers(l.spegel), containers(l.peer))...)
	require.NoError(t, m.Start())
	t.Cleanup(m.Stop)

	found := waitFoundBy(t, l, "machined")
	require.Equal(t, before.CgroupInode, found.CgroupInode)
	require.Equal(t, before.PodUID, found.PodUID, "the labels of the pod were not compared")

	// machined has no start time: it is the kernel's.
	require.Equal(t, before.StartedClock, found.StartedClock)
	require.False(t, found.Started.IsZero())

	m.Stop()
	event(t, l)

	lost := waitFoundBy(t, l, "cri")
	require.Equal(t, before.CgroupInode, lost.CgroupInode)

	require.NoError(t, m.Start())
	event(t, l)
	waitFoundBy(t, l, "machined")
}

// event runs a pod that is selected and has no container yet.
func event(t *testing.T, l *loop) {
	t.Helper()

	pod, err := l.node.RunSandbox(t.Context(), node.SpegelPod("spegel-starting"))
	require.NoError(t, err)
	require.NoError(t, pod.Remove(t.Context()))
}

// containers returns the sandbox and the container of a pod as machined reports them: without labels and start time.
func containers(pod *node.Pod) []*machineapi.ContainerInfo {
	const shortID = 12

	id := pod.Spec.Namespace + "/" + pod.Spec.Name

	return []*machineapi.ContainerInfo{
		{
			Namespace: "k8s.io", Id: id, InternalId: pod.SandboxID, Uid: pod.UID, PodId: id, Name: id,
			Image: images.Pause.Reference(), Pid: uint32(pod.SandboxPID), Status: "SANDBOX_READY",
		},
		{
			Namespace: "k8s.io", Id: id + ":" + pod.Spec.Container + ":" + pod.ContainerID[:shortID], InternalId: pod.ContainerID,
			PodId: id, Name: pod.Spec.Container, Image: images.Spegel.Reference(), Pid: uint32(pod.PID), Status: "CONTAINER_RUNNING",
		},
	}
}

// waitFoundBy waits until the only target was found by a source.
func waitFoundBy(t *testing.T, l *loop, source string) resources.TargetSpec {
	t.Helper()

	var spec resources.TargetSpec

	require.Eventually(t, func() bool {
		targets, err := safe.StateListAll[*resources.Target](t.Context(), l.guard.Client.COSI)
		if err != nil || targets.Len() != 1 {
			return false
		}

		spec = *targets.Get(0).TypedSpec()

		return spec.Source == source
	}, 2*patience, 200*time.Millisecond, "expected source %s, got %+v\n%s", source, spec, l.guard.Log)

	return spec
}
