// SPDX-License-Identifier: MPL-2.0

//go:build linux && faults

package daemon

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/fault"
	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/test/kernel"
	"github.com/spegel-guard/spegel-guard/test/node"
	"github.com/spegel-guard/spegel-guard/test/vm"
)

// held is a configuration whose first ceiling would stay for an hour.
const held = `
interval: 100ms
rules: [{name: Always, expression: "cpu >= 0.0", for: 0s, window: 1s}]
ceiling: {cpu: 500m, floor: 100m, hold: 1h, releaseAfter: 1h}
`

// lease is how long a ceiling stays without a decision at this interval (docs/enforcement.md).
const lease = 30 * time.Second

// TestGuard_ReleasesWhileThePolicyHangs: the enforcer releases a ceiling on which nobody decides, within its lease, and says so.
func TestGuard_ReleasesWhileThePolicyHangs(t *testing.T) {
	kernel.Require(t)

	if os.Getenv(vm.GuestEnv) == "" {
		t.Skip("runs in the test machine only (make faults)")
	}

	n, err := node.Start(t.Context())
	require.NoError(t, err)

	pod, err := n.RunPod(t.Context(), node.SpegelPod("spegel-undecided"))
	require.NoError(t, err)
	t.Cleanup(func() { pod.Remove(context.Background()) })

	document := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(document, []byte(held), 0o600))

	var log output

	guard := guardCommand(t, document, statePath+".held", fault.Deciding+":100")
	guard.Stdout, guard.Stderr = &log, &log
	require.NoError(t, guard.Start())
	t.Cleanup(func() {
		assert.NoError(t, guard.Process.Signal(syscall.SIGKILL))
		guard.Wait()
	})

	value := func() string {
		value, err := node.CPUMax(pod.Cgroup)
		require.NoError(t, err)

		return value
	}

	const patience = 2 * time.Minute

	eventually := func(what string, done func() bool) {
		t.Helper()
		require.Eventually(t, done, patience, 20*time.Millisecond, "%s\n%s", what, &log)
	}

	// The policy hangs between two looks at the log, and the ceiling is released between two looks at cpu.max. A machine that
	// stands still makes the times between the looks longer: the least and the longest time of the release stay true.
	var deciding, hung, inForce, released time.Time

	eventually("the policy hangs", func() bool {
		now := time.Now()

		if !log.has("fault: hangs at deciding") {
			deciding = now

			return false
		}

		hung = time.Now()

		return true
	})

	eventually("the ceiling is released", func() bool {
		now := time.Now()

		switch value() {
		case "50001 100000":
			inForce = now

			return false
		case "max 100000":
			released = time.Now()

			return !inForce.IsZero() // the ceiling of the last decisions may not be written yet
		default:
			return false
		}
	})

	least, longest := inForce.Sub(hung), released.Sub(deciding)
	t.Logf("released %s to %s after the last decision could be made; the lease is %s", least, longest, lease)

	// The newest sample of a decision is older than the hang. Half of the lease is left for a slow machine.
	assert.GreaterOrEqual(t, longest, lease/2, "released early\n%s", &log)
	// The enforcer looks at the lease with the ticks.
	assert.LessOrEqual(t, least, lease+lease/2, "released late\n%s", &log)

	// It logs the release, and removes the journal, after cpu.max is written.
	eventually("the reason is logged", func() bool { return log.has("the sampling or the policy is stuck") })
	eventually("the journal is removed", func() bool {
		found, err := cgroup.FindJournals(node.CgroupRoot)

		return err == nil && len(found) == 0
	})

	// It does not come back: nobody decides.
	time.Sleep(3 * time.Second)
	assert.Equal(t, "max 100000", value())
}

// output is what a process has printed.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()

	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()

	return o.text.String()
}

func (o *output) has(text string) bool { return bytes.Contains([]byte(o.String()), []byte(text)) }
