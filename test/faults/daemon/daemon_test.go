// SPDX-License-Identifier: MPL-2.0

//go:build linux && faults

// Package daemon kills the whole service with a real pod. It is separate from the trials of service/internal/enforce/faults,
// whose processes start faster without a client of containerd.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/extension"
	"github.com/spegel-guard/spegel-guard/internal/fault"
	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/test/kernel"
	"github.com/spegel-guard/spegel-guard/test/node"
	"github.com/spegel-guard/spegel-guard/test/vm"
)

// restless is a configuration with which the guard trips at once, and lifts the ceiling of a busy pod after a second to probe, again and
// again. The pod has no cpu.max.burst, so its fault points are reached in service/internal/enforce/faults only.
const restless = `
interval: 100ms
rules: [{name: Always, expression: "cpu >= 0.0", for: 0s, window: 1s}]
ceiling: {cpu: 200m, floor: 100m, hold: 1s, releaseAfter: 1s, probe: 1s, backoff: {factor: 1, max: 1s}}
`

const (
	trials    = 20
	statePath = "/tmp/spegel-guard-daemon-state.json"
)

// TestGuard_RestoresAfterKill kills the service at fault points and at random moments. After a restart or the command
// restore every cpu.max must have its original value.
func TestGuard_RestoresAfterKill(t *testing.T) {
	kernel.Require(t)

	// It starts containerd with its own configuration, which must not happen on a developer's machine.
	if os.Getenv(vm.GuestEnv) == "" {
		t.Skip("runs in the test machine only (make faults)")
	}

	n, err := node.Start(t.Context())
	require.NoError(t, err)

	pod, err := n.RunPod(t.Context(), node.SpegelPod("spegel-killed"))
	require.NoError(t, err)
	t.Cleanup(func() { pod.Remove(context.Background()) })
	require.NoError(t, pod.WaitServing(t.Context()))
	require.NoError(t, pod.Steer(t.Context(), map[string]any{"mode": "sustained", "blobs": 1053, "workers": 1}))

	before, err := node.AllCPUMax()
	require.NoError(t, err)
	require.Equal(t, "max 100000", before[pod.Cgroup])

	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)

	random := rand.New(rand.NewPCG(seed, 0))
	document := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(document, []byte(restless), 0o600))

	inForce, atPoint := 0, 0

	for range trials {
		point := ""
		if random.IntN(2) == 0 {
			points := fault.Points()
			point = points[random.IntN(len(points))] + ":" + strconv.Itoa(random.IntN(2))
		}

		guard := startGuard(t, document, point)

		if kill(t, guard, pod, point, random) && point != "" {
			atPoint++
		}

		if found, err := cgroup.FindJournals(node.CgroupRoot); err == nil && len(found) > 0 {
			inForce++
		}

		way := "restore"

		if random.IntN(3) == 0 {
			output, err := exec.Command(extension.BinaryPath, "-state", statePath, "restore").CombinedOutput()
			require.NoError(t, err, "%s", output)
		} else {
			// It gets SIGTERM during the adoption or some time later.
			way = "start and stop"
			guard := startGuard(t, document, "")

			time.Sleep(time.Duration(random.Int64N(int64(1500 * time.Millisecond))))

			// Before it handles signals, SIGTERM kills it. Then restore releases the ceiling.
			require.NoError(t, guard.Process.Signal(syscall.SIGTERM))

			if guard.Wait() != nil {
				way = "start, killed again, and restore"

				output, err := exec.Command(extension.BinaryPath, "-state", statePath, "restore").CombinedOutput()
				require.NoError(t, err, "%s", output)
			}
		}

		after, err := node.AllCPUMax()
		require.NoError(t, err)

		for name, value := range before {
			require.Equal(t, value, after[name], "%s, killed at %q, then %s", name, point, way)
		}

		found, err := cgroup.FindJournals(node.CgroupRoot)
		require.NoError(t, err)
		require.Empty(t, found, "killed at %q, then %s", point, way)
	}

	fmt.Printf("\n%d trials with SIGKILL of the whole service: 0 wrong cpu.max on the node, 0 stale journals; %d trials left a journal, %d ended at a fault point\n",
		trials, inForce, atPoint)
	require.NotZero(t, atPoint, "no trial ended at a fault point")
	require.NotZero(t, inForce, "no trial ended with a ceiling in force")
}

// kill waits until the guard has ended at its fault point, or kills it: with a fault point twenty seconds after its first ceiling, because
// not every point is reached; otherwise in a third of the trials at a random moment of its start, or at a random time after its first
// ceiling. It reports whether the guard has ended by itself.
func kill(t *testing.T, guard *exec.Cmd, pod *node.Pod, point string, random *rand.Rand) bool {
	t.Helper()

	ended := make(chan error, 1)

	go func() { ended <- guard.Wait() }()

	var (
		after   = time.Duration(random.Int64N(int64(4 * time.Second)))
		timer   = time.NewTimer(after)
		timeout = time.NewTimer(2 * time.Minute)
		poll    = time.NewTicker(20 * time.Millisecond)
	)

	defer timer.Stop()
	defer timeout.Stop()
	defer poll.Stop()

	if point != "" {
		after = 20 * time.Second
	}

	if point != "" || random.IntN(3) > 0 {
		timer.Stop()
	}

	for applied, killed := false, false; ; {
		select {
		case err := <-ended:
			require.ErrorContains(t, err, "signal: killed")

			return !killed
		case <-timer.C:
			killed = true

			if err := guard.Process.Kill(); !errors.Is(err, os.ErrProcessDone) {
				require.NoError(t, err)
			}
		case <-poll.C:
			if value, err := node.CPUMax(pod.Cgroup); err == nil && value != "max 100000" && !applied {
				applied = true

				timer.Reset(after)
			}
		case <-timeout.C:
			guard.Process.Kill()
			require.Fail(t, "the guard has neither ended nor applied a ceiling")
		}
	}
}

func startGuard(t *testing.T, document, point string) *exec.Cmd {
	t.Helper()

	guard := guardCommand(t, document, statePath, point)
	require.NoError(t, guard.Start())

	return guard
}

// guardCommand returns the service with a fault point, which does not run yet.
func guardCommand(t *testing.T, document, state, point string) *exec.Cmd {
	t.Helper()

	guard := exec.Command(extension.BinaryPath, "-config", document, "-state", state, "-socket", filepath.Join(t.TempDir(), "guard.sock"))
	guard.Env = append(os.Environ(), fault.Env+"="+point)

	return guard
}
