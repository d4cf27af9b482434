// SPDX-License-Identifier: MPL-2.0

//go:build linux && faults

package faults

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/internal/fault"
	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/service/internal/decide"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
	"github.com/spegel-guard/spegel-guard/service/internal/host"
	"github.com/spegel-guard/spegel-guard/service/internal/persist"
)

// victimEnv turns the test binary into a process that enforces until it is killed.
const victimEnv = "SPEGEL_GUARD_VICTIM"

// victim is what such a process is told.
type victim struct {
	// Cgroup relative to the hierarchy's root, and its inode.
	Cgroup string
	Inode  uint64
	// PID and Start of a process that counts as the container's.
	PID   int
	Start uint64
	// Hold is how long each hold is; it may be over at once.
	Hold time.Duration
	Seed uint64
}

func TestMain(m *testing.M) {
	if text := os.Getenv(victimEnv); text != "" {
		if err := enforceUntilKilled(text); err != nil {
			fmt.Fprintln(os.Stderr, "victim:", err)
			os.Exit(1)
		}

		os.Exit(0)
	}

	os.Exit(m.Run())
}

// enforceUntilKilled does, in random order and as fast as it can, all that enforcement ever does. What
// the owner writes meanwhile it tells the parent: "about" before, "done" after.
func enforceUntilKilled(text string) error {
	var v victim

	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return err
	}

	random := rand.New(rand.NewPCG(v.Seed, 1))
	node := theNode()

	// The order of the daemon's start.
	if _, err := enforce.Adopt(node, false, zap.NewNop()); err != nil {
		return err
	}

	file := persist.File[persist.Workload]{Path: memoryPath, BootID: node.BootID}
	ceiling := enforce.New(node, enforce.Target{
		ID: target, ContainerID: "c", PID: v.PID, PIDStartTime: v.Start, Cgroup: v.Cgroup, CgroupInode: v.Inode,
	})

	fmt.Println("ready")

	for {
		since := boottime.Now()
		wanted := &decide.DesiredCeiling{
			FloorMillicores: 100, Rule: "r",
			Since: since, Until: since + v.Hold,
		}

		hold := policy.Hold{Rule: "r", Since: since, Until: since + v.Hold}
		if err := file.Save(map[string]persist.Workload{target: {SavedState: policy.SavedState{Hold: hold, Level: 1}}}); err != nil {
			return err
		}

		// A ceiling, some steps, perhaps a write of the owner's, perhaps a probe, and the end of it. Back-offs
		// are passed over by a clock that is a minute on at each step.
		clock := since

		for range 2 + random.IntN(5) {
			wanted.Millicores = 150 + random.Int64N(1000)
			wanted.Probing = random.IntN(8) == 0

			ceiling.Reconcile(wanted, clock)

			clock += time.Minute

			if random.IntN(4) == 0 {
				if err := ownerWrites(v.Cgroup, random); err != nil {
					return err
				}
			}
		}

		ceiling.Reconcile(nil, since+time.Hour)
	}
}

// ownerWrites is an in-place resize, as runc does it.
func ownerWrites(path string, random *rand.Rand) error {
	value := ownerValue(random)

	fmt.Println("about", value)

	if err := os.WriteFile(filepath.Join(root, path, "cpu.max"), []byte(value), 0); err != nil {
		return err
	}

	fmt.Println("done", value)

	return nil
}

func ownerValue(random *rand.Rand) string {
	values := []string{"max 100000", "50000 100000", "200000 100000", "30000 100000", "max 20000", "80000 50000"}

	return values[random.IntN(len(values))]
}

// run lets a victim go on until it dies at a point, or for a time.
func (v victim) run(t *testing.T, point string, after time.Duration) (said []string) {
	t.Helper()

	encoded, err := json.Marshal(v)
	require.NoError(t, err)

	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), victimEnv+"="+string(encoded), fault.Env+"="+point)
	cmd.Stderr = os.Stderr

	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())

	if point == "" {
		// From the moment it has begun, or the kill would mostly hit the start of a Go program.
		ready := make([]byte, len("ready\n"))

		_, err := io.ReadFull(stdout, ready)
		require.NoError(t, err)

		time.Sleep(after)
		require.NoError(t, cmd.Process.Kill())
	}

	// Every point is passed within a few rounds of the script, so this says that something is wrong.
	watchdog := time.AfterFunc(time.Minute, func() {
		t.Errorf("the victim never came to %s", point)
		cmd.Process.Kill()
	})
	defer watchdog.Stop()

	output, err := io.ReadAll(stdout)
	require.NoError(t, err)

	err = cmd.Wait()
	require.ErrorContains(t, err, "signal: killed", "the victim ended otherwise")

	return strings.Split(strings.TrimSpace(string(output)), "\n")
}

func theNode() enforce.Node {
	return enforce.NewNode(host.Host{Proc: "/proc", Cgroup: root, BootID: "this-boot"}, nil)
}

func journals(t *testing.T) []string {
	t.Helper()

	found, err := cgroup.FindJournals(root)
	require.NoError(t, err)

	return found
}
