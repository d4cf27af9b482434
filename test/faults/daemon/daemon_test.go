// SPDX-License-Identifier: MPL-2.0

//go:build linux && faults

// Package daemon kills the whole service, with a real pod. It is apart from the trials of enforcement alone,
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

// restless makes a guard that trips at once, probes and trips again, for as long as it lives.
const restless = `
interval: 100ms
rules: [{name: Always, expression: "cpu >= 0.0", for: 0s, window: 1s}]
ceiling: {cpu: 500m, floor: 100m, hold: 1s, releaseAfter: 1s, probe: 1s, backoff: {factor: 1, max: 1s}}
`

const (
	trials    = 20
	statePath = "/tmp/spegel-guard-daemon-state.json"
)

// TestTheWholeGuardKilled is the same with the real service and a real pod.
func TestTheWholeGuardKilled(t *testing.T) {
	kernel.Require(t)

	// It starts a containerd with a configuration of its own: nothing for a machine that somebody uses.
	if os.Getenv(vm.GuestEnv) == "" {
		t.Skip("runs in the test machine alone (make faults)")
	}

	n, err := node.Start(t.Context())
	require.NoError(t, err)

	pod, err := n.RunPod(t.Context(), node.SpegelPod("spegel-killed"))
	require.NoError(t, err)
	t.Cleanup(func() { pod.Remove(context.Background()) })

	before, err := node.AllCPUMax()
	require.NoError(t, err)
	require.Equal(t, "max 100000", before[pod.Cgroup])

	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)

	random := rand.New(rand.NewPCG(seed, 0))
	document := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(document, []byte(restless), 0o600))

	inForce := 0

	for range trials {
		point := ""
		if random.IntN(2) == 0 {
			points := fault.Points()
			point = points[random.IntN(len(points))] + ":" + strconv.Itoa(random.IntN(4))
		}

		guard := startGuard(t, document, point)
		kill(t, guard, pod, random)

		if found, err := cgroup.FindJournals(node.CgroupRoot); err == nil && len(found) > 0 {
			inForce++
		}

		way := "restore"

		if random.IntN(3) == 0 {
			output, err := exec.Command(extension.BinaryPath, "-state", statePath, "restore").CombinedOutput()
			require.NoError(t, err, "%s", output)
		} else {
			// It is told to stop while it takes over, or a while later.
			way = "start and stop"
			guard := startGuard(t, document, "")

			time.Sleep(time.Duration(random.Int64N(int64(1500 * time.Millisecond))))

			// Until it handles signals, SIGTERM is as good as SIGKILL; one that ended so is followed by another.
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

	fmt.Printf("\n%d trials of kill -9 of the whole service: 0 wrong cpu.max on the node, 0 stale journals; a journal was found after %d\n",
		trials, inForce)
	require.NotZero(t, inForce, "no trial ended with a ceiling in force: nothing was tried")
}

// kill lets the guard end: at its point, in a third of the trials at any moment of its start, and in the others some
// time after its first ceiling, however long that takes on this machine.
func kill(t *testing.T, guard *exec.Cmd, pod *node.Pod, random *rand.Rand) {
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

	if random.IntN(3) > 0 {
		timer.Stop()
	}

	for capped := false; ; {
		select {
		case err := <-ended:
			require.ErrorContains(t, err, "signal: killed")

			return
		case <-timer.C:
			if err := guard.Process.Kill(); !errors.Is(err, os.ErrProcessDone) {
				require.NoError(t, err)
			}
		case <-poll.C:
			if value, err := node.CPUMax(pod.Cgroup); err == nil && value != "max 100000" && !capped {
				capped = true

				timer.Reset(after)
			}
		case <-timeout.C:
			guard.Process.Kill()
			require.Fail(t, "the guard neither ended nor came to a ceiling")
		}
	}
}

func startGuard(t *testing.T, document, point string) *exec.Cmd {
	t.Helper()

	guard := exec.Command(extension.BinaryPath, "-config", document, "-state", statePath, "-socket", filepath.Join(t.TempDir(), "guard.sock"))
	guard.Env = append(os.Environ(), fault.Env+"="+point)
	require.NoError(t, guard.Start())

	return guard
}
