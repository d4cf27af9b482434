// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package e2e tests the closed loop on a real kernel: containerd, pods, and the guard as Talos runs it.
package e2e

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/test/kernel"
	"github.com/spegel-guard/spegel-guard/test/node"
	"github.com/spegel-guard/spegel-guard/test/vm"
)

// fast is the configuration of the incident with seconds instead of minutes. Its threshold of CPU usage is one that a workload exceeds on a busy
// machine, too.
const fast = `
interval: 200ms
rules:
  - {name: SpegelHighCPU, signal: cpu, threshold: 250m, for: 3s, window: 2s}
  - {name: SpegelHighNetworkTX, signal: networkTx, threshold: 500k/s, for: 3s, window: 2s}
ceiling: {cpu: 500m, floor: 100m, hold: 5s, releaseAfter: 3s, probe: 0s}
`

const (
	tripsAfter = 3 * time.Second
	hold       = 5 * time.Second
	// patience is the deadline of every wait. It is long, because no test may depend on the speed of the machine.
	patience = 2 * time.Minute
)

var (
	startNode  sync.Once
	sharedNode *node.Node
	nodeErr    error
)

// testNode returns the node that all tests share. The first call starts containerd.
func testNode(t *testing.T) *node.Node {
	t.Helper()
	kernel.Require(t)

	// The node rewrites /etc and starts containerd, which must not happen on a developer's machine.
	if os.Getenv(vm.GuestEnv) == "" {
		t.Skip("runs in the test machine only (make test-vm)")
	}

	startNode.Do(func() { sharedNode, nodeErr = node.Start(context.Background()) })
	require.NoError(t, nodeErr)

	return sharedNode
}

// loop is a node with a spegel pod, a peer of it, and the guard.
type loop struct {
	node   *node.Node
	spegel *node.Pod
	peer   *node.Pod
	guard  *node.Guard
}

// newLoop starts the pods and the guard with a configuration. vary, which may be nil, changes the spec of the spegel pod.
func newLoop(t *testing.T, document string, vary func(*node.PodSpec)) *loop {
	t.Helper()

	return newLoopWith(t, vary, func(l *loop) (*node.Guard, error) { return l.node.StartGuard(t.Context(), document) })
}

// newLoopWith is like newLoop with a function that starts the guard.
func newLoopWith(t *testing.T, vary func(*node.PodSpec), start func(*loop) (*node.Guard, error)) *loop {
	t.Helper()

	n := testNode(t)
	l := &loop{node: n}

	// The peer is not a target: it has no label and another container name.
	l.peer = runPod(t, n, node.PodSpec{Name: "bystander", Namespace: "default", Container: "app"})

	spec := node.SpegelPod("spegel-x7k2p")
	if vary != nil {
		vary(&spec)
	}

	l.spegel = runPod(t, n, spec)

	// The pods of all tests have the same names, so decisions of an earlier test would apply to this one.
	require.NoError(t, node.RemoveSavedState())

	guard, err := start(l)
	require.NoError(t, err)

	l.guard = guard

	t.Cleanup(func() {
		guard.Client.Close()

		_, _, err := guard.Stop(context.Background())
		if err != nil {
			t.Logf("guard: %v", err)
		}

		noPanic(t, guard.Log)

		if t.Failed() {
			t.Logf("--- guard ---\n%s", guard.Log)
		}
	})

	return l
}

// stop stops the guard, which must end by itself.
func (l *loop) stop(t *testing.T) {
	t.Helper()

	code, took, err := l.guard.Stop(t.Context())
	require.NoError(t, err)
	require.Zero(t, code, "after %s\n%s", took, l.guard.Log)
}

func runPod(t *testing.T, n *node.Node, spec node.PodSpec) *node.Pod {
	t.Helper()

	pod, err := n.RunPod(t.Context(), spec)
	require.NoError(t, err)
	t.Cleanup(func() { pod.Remove(context.Background()) })
	require.NoError(t, pod.WaitServing(t.Context()))
	require.NoError(t, pod.Steer(t.Context(), map[string]any{"mode": "idle"}))

	return pod
}

// runAway makes a pod advertise without end, as in the incident. It sends to the pod "to".
func (l *loop) runAway(t *testing.T, pod, to *node.Pod) {
	t.Helper()

	require.NoError(t, pod.Steer(t.Context(), map[string]any{
		"mode": "sustained", "blobs": 1053, "workers": 2, "peers": []string{to.IP + ":5001"},
	}))
}

// calm stops the load of a pod.
func (l *loop) calm(t *testing.T, pod *node.Pod) {
	t.Helper()
	require.NoError(t, pod.Steer(t.Context(), map[string]any{"mode": "idle"}))
}

// cpuMax reads cpu.max of a pod's container.
func cpuMax(t *testing.T, pod *node.Pod) string {
	t.Helper()

	value, err := node.CPUMax(pod.Cgroup)
	require.NoError(t, err)

	return value
}

// waitCPUMax polls cpu.max until it has a value, and returns the time at which it had.
func waitCPUMax(t *testing.T, l *loop, pod *node.Pod, want string, timeout time.Duration) time.Time {
	t.Helper()

	deadline := time.Now().Add(timeout)

	for time.Now().Before(deadline) {
		if cpuMax(t, pod) == want {
			return time.Now()
		}

		time.Sleep(20 * time.Millisecond)
	}

	require.Fail(t, "cpu.max", "is still %q after %s, expected %q\n--- guard ---\n%s", cpuMax(t, pod), timeout, want, l.guard.Log)

	return time.Time{}
}
