//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/test/machined"
	"github.com/spegel-guard/spegel-guard/test/node"
)

// TestMachinedComesAndGoes puts machined in front of the guard, as on Talos, and takes it away: the
// target stays the same throughout, only who found it changes.
func TestMachinedComesAndGoes(t *testing.T) {
	l := newLoop(t, watching, nil)
	before := waitFoundBy(t, l, "cri")

	require.NoError(t, os.MkdirAll(filepath.Dir(machinedSocket), 0o755))

	m, err := machined.New(t.Context(), machinedSocket)
	require.NoError(t, err)

	m.Set(container(l.spegel), container(l.peer))
	require.NoError(t, m.Start())
	t.Cleanup(m.Stop)

	found := waitFoundBy(t, l, "machined")
	require.Equal(t, before.CgroupInode, found.CgroupInode)
	require.Equal(t, before.PodUID, found.PodUID, "the pod's labels were compared")

	m.Stop()

	lost := waitFoundBy(t, l, "cri")
	require.Equal(t, before.CgroupInode, lost.CgroupInode)

	require.NoError(t, m.Start())
	waitFoundBy(t, l, "machined")
}

// container is what machined says of a pod's container.
func container(pod *node.Pod) *machineapi.ContainerInfo {
	return &machineapi.ContainerInfo{
		Namespace: "k8s.io", Id: pod.Spec.Namespace + "/" + pod.Spec.Name + ":" + pod.Spec.Container, InternalId: pod.ContainerID,
		PodId: pod.Spec.Namespace + "/" + pod.Spec.Name, Name: pod.Spec.Container, Pid: uint32(pod.PID), Status: "CONTAINER_RUNNING",
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
	}, 2*patience, 200*time.Millisecond, "wanted %s, have %+v\n%s", source, spec, l.guard.Log)

	return spec
}
