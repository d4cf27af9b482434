// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/test/node"
)

const (
	attackInterval = time.Second
	// mostLate is how late a sample may be beyond what the machine delays it.
	mostLate = 2 * time.Second
	// maxAttackMegabytes is what the service may have resident above what it has without an attack.
	maxAttackMegabytes = 64
)

// underAttack is a configuration whose rules' statuses change with every sample, so that there is something to send.
const underAttack = `
interval: 1s
rules:
  - {name: A, signal: cpu, threshold: "8", for: 1m, window: 4s}
  - {name: B, signal: networkTx, threshold: 1G/s, for: 1m, window: 4s}
target: {metrics: {interval: 1s}}
metrics: {listen: "` + metricsAddress + `"}
` + traced

// scenario is something that a hostile client, or a hostile pod, does to the service.
type scenario struct {
	name string
	run  func(t *testing.T, a *attack)
}

// attack is a running service with what it has cost.
type attack struct {
	*loop

	machine *metronome
	idle    float64
}

// many returns how often a scenario does something, of the times of the full attack.
func many(times int) int { return max(1, int(float64(times)*attackSize)) }

// TestAttack runs what has once taken the service down, one scenario after another, and what it costs: memory, delayed samples
// and CPU time. make attack runs all of it, every other run a short form.
func TestAttack(t *testing.T) {
	a := &attack{loop: newLoop(t, underAttack, nil)}
	a.runAway(t, a.spegel, a.peer)

	_, err := a.guard.WaitState(t.Context(), patience, resources.StateOK)
	require.NoError(t, err)

	a.machine = startMetronome(t)

	yieldToTheNode(t)
	waitSamples(t, a.spegel, boottime.Now(), 4)

	a.idle = a.resident(t, "VmRSS")
	rows := []string{fmt.Sprintf("%-22s %8s %12s %10s %12s %8s", "scenario", "time", "peak RSS", "late", "machine late", "CPU"),
		fmt.Sprintf("%-22s %8s %9.1f MB", "none", "", a.idle)}

	for _, s := range append(clientScenarios(), targetScenarios()...) {
		t.Run(s.name, func(t *testing.T) { rows = append(rows, a.measure(t, s)) })
	}

	fmt.Printf("\n%s\n", strings.Join(rows, "\n"))
}

// measure runs a scenario and returns its row.
func (a *attack) measure(t *testing.T, s scenario) string {
	t.Helper()

	// The peak starts at what is resident now (proc(5)).
	require.NoError(t, os.WriteFile(a.proc("clear_refs"), []byte("5"), 0))

	a.machine.late(t) // before the sample, so that it has each pause since then
	earlier := waitSampleTimes(t, a.spegel, boottime.Now(), 1)[0]
	start, used, container := boottime.Now(), a.cpu(t), a.spegel.ContainerID

	s.run(t, a)

	// A scenario that ends at once is watched, too: what it left behind may cost more. A container that it started has no samples of
	// the time before.
	least, since := 4, start
	if a.spegel.ContainerID == container {
		least, since = max(least, int((boottime.Now()-start)/attackInterval))+1, earlier
	}

	pace := waitSamples(t, a.spegel, since, least)
	took, peak := boottime.Now()-start, a.resident(t, "VmHWM")
	late, machine := max(0, pace.longest-attackInterval), a.machine.late(t)

	assert.LessOrEqual(t, peak-a.idle, float64(maxAttackMegabytes), "resident memory in MB over idle")
	// A machine that stands still for longer than that delays every sample, without clients, too.
	assert.Less(t, late, mostLate+2*machine, "the longest delay of a sample: %+v; of the machine: %s", pace, machine)

	// It still answers, and has its target.
	_, err := a.guard.WaitState(t.Context(), patience, resources.StateOK)
	require.NoError(t, err)

	return fmt.Sprintf("%-22s %8s %9.1f MB %10s %12s %8s", s.name, took.Round(100*time.Millisecond), peak, late.Round(time.Millisecond),
		machine.Round(time.Millisecond), (a.cpu(t) - used).Round(10*time.Millisecond))
}

func (a *attack) proc(name string) string { return fmt.Sprintf("/proc/%d/%s", a.guard.PID(), name) }

// cpu returns the CPU time that the service has used.
func (a *attack) cpu(t *testing.T) time.Duration {
	t.Helper()

	stats, err := node.CPUStats(a.guard.CgroupPath)
	require.NoError(t, err)

	return time.Duration(stats["usage_usec"]) * time.Microsecond
}

// resident returns a value of /proc/PID/status in MB.
func (a *attack) resident(t *testing.T, name string) float64 {
	t.Helper()

	data, err := os.ReadFile(a.proc("status"))
	require.NoError(t, err)

	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 64)
			require.NoError(t, err)

			return kib * 1024 / 1e6
		}
	}

	require.Fail(t, "no value", "%s in %s", name, data)

	return 0
}

// yieldToTheNode gives this process a low CPU weight. It runs all clients, which are other machines in production and use
// no CPU time of the node.
func yieldToTheNode(t *testing.T) {
	t.Helper()

	const low = node.CgroupRoot + "/clients"

	self, err := os.ReadFile("/proc/self/cgroup")
	require.NoError(t, err)

	home := filepath.Join(node.CgroupRoot, strings.TrimPrefix(strings.TrimSpace(string(self)), "0::"))
	move := func(to string) error {
		return os.WriteFile(filepath.Join(to, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0)
	}

	require.NoError(t, os.Mkdir(low, 0o755))
	require.NoError(t, os.WriteFile(low+"/cpu.weight", []byte("20"), 0))
	require.NoError(t, move(low))
	t.Cleanup(func() {
		require.NoError(t, move(home))
		require.NoError(t, os.Remove(low))
	})
}
