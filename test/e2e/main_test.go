// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package e2e holds the closed-loop tests: the real containerd, real pods, and the guard as Talos
// runs it, on a real kernel.
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

// fast is the incident's configuration with seconds for minutes, so that a loop fits into a test.
const fast = `
interval: 200ms
rules:
  - {name: SpegelHighCPU, signal: cpu, threshold: 400m, for: 3s, window: 2s}
  - {name: SpegelHighNetworkTX, signal: networkTx, threshold: 500k/s, for: 3s, window: 2s}
ceiling: {cpu: 500m, floor: 100m, hold: 5s, releaseAfter: 3s, probe: 0s}
`

const (
	tripsAfter = 3 * time.Second
	hold       = 5 * time.Second
	// patience is how long a test waits for what must happen. It says nothing about how fast that is: no test may
	// depend on the speed of the machine.
	patience = 2 * time.Minute
)

var (
	startNode sync.Once
	theNode   *node.Node
	nodeErr   error
)

// theTestNode starts containerd once for all tests.
func theTestNode(t *testing.T) *node.Node {
	t.Helper()
	kernel.Require(t)

	// It rewrites /etc and starts a containerd: nothing for a machine that somebody uses.
	if os.Getenv(vm.GuestEnv) == "" {
		t.Skip("runs in the test machine alone (make test-vm)")
	}

	startNode.Do(func() { theNode, nodeErr = node.Start(context.Background()) })
	require.NoError(t, nodeErr)

	return theNode
}

// loop is a node with a spegel pod, its peer, and the guard.
type loop struct {
	node   *node.Node
	spegel *node.Pod
	peer   *node.Pod
	guard  *node.Guard
}

// newLoop starts everything; the spegel pod's spec and the configuration may be varied.
func newLoop(t *testing.T, document string, vary func(*node.PodSpec)) *loop {
	t.Helper()

	return newLoopWith(t, vary, func(l *loop) (*node.Guard, error) { return l.node.StartGuard(t.Context(), document) })
}

// newLoopWith is newLoop with a guard started in another way.
func newLoopWith(t *testing.T, vary func(*node.PodSpec), start func(*loop) (*node.Guard, error)) *loop {
	t.Helper()

	n := theTestNode(t)
	l := &loop{node: n}

	// The peer is as busy as it is told to be, and no spegel: no label, another name.
	l.peer = runPod(t, n, node.PodSpec{Name: "bystander", Namespace: "default", Container: "app"})

	spec := node.SpegelPod("spegel-x7k2p")
	if vary != nil {
		vary(&spec)
	}

	l.spegel = runPod(t, n, spec)

	// The pods of all tests have the same names: what one learnt is not for the next.
	require.NoError(t, node.ForgetDecisions())

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

func runPod(t *testing.T, n *node.Node, spec node.PodSpec) *node.Pod {
	t.Helper()

	pod, err := n.RunPod(t.Context(), spec)
	require.NoError(t, err)
	t.Cleanup(func() { pod.Remove(context.Background()) })
	require.NoError(t, pod.WaitServing(t.Context()))
	require.NoError(t, pod.Steer(t.Context(), map[string]any{"mode": "idle"}))

	return pod
}

// runAway makes the pod behave as in the incident.
func (l *loop) runAway(t *testing.T, pod, to *node.Pod) {
	t.Helper()

	require.NoError(t, pod.Steer(t.Context(), map[string]any{
		"mode": "sustained", "blobs": 1053, "workers": 2, "peers": []string{to.IP + ":5001"},
	}))
}

func (l *loop) calm(t *testing.T, pod *node.Pod) {
	t.Helper()
	require.NoError(t, pod.Steer(t.Context(), map[string]any{"mode": "idle"}))
}

func cpuMax(t *testing.T, pod *node.Pod) string {
	t.Helper()

	value, err := node.CPUMax(pod.Cgroup)
	require.NoError(t, err)

	return value
}

// waitCPUMax polls the kernel's file until it shows the value, and says when it did.
func waitCPUMax(t *testing.T, l *loop, pod *node.Pod, want string, timeout time.Duration) time.Time {
	t.Helper()

	deadline := time.Now().Add(timeout)

	for time.Now().Before(deadline) {
		if cpuMax(t, pod) == want {
			return time.Now()
		}

		time.Sleep(20 * time.Millisecond)
	}

	require.Fail(t, "cpu.max", "still %q after %s, wanted %q\n--- guard ---\n%s", cpuMax(t, pod), timeout, want, l.guard.Log)

	return time.Time{}
}
