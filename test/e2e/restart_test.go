// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/spegel-guard/spegel-guard/extension"
	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/test/node"
)

// longHold is a configuration whose hold is longer than any test.
const longHold = `
interval: 200ms
rules: [{name: SpegelHighCPU, signal: cpu, threshold: 250m, for: 3s, window: 2s}]
ceiling: {cpu: 500m, floor: 100m, hold: 1h, releaseAfter: 5s}
`

// restart stops the guard and starts it with another document, as machined does after a change.
func (l *loop) restart(t *testing.T, document string) {
	t.Helper()

	l.stop(t)
	l.start(t, document)
}

// journals returns the cgroups that have a journal.
func journals(t *testing.T) []string {
	t.Helper()

	found, err := cgroup.FindJournals(node.CgroupRoot)
	require.NoError(t, err)

	return found
}

// noJournals waits until no cgroup has a journal. A release removes it after cpu.max was written.
func noJournals(t *testing.T) {
	t.Helper()

	require.Eventually(t, func() bool { return len(journals(t)) == 0 }, patience, 20*time.Millisecond, "a journal is left")
}

// runGuard runs the guard's binary on the node and returns its exit code and what it printed.
func runGuard(t *testing.T, args ...string) (int, string) {
	t.Helper()

	cmd := exec.Command(extension.BinaryPath, append([]string{"-state", node.StateFile}, args...)...)
	output, _ := cmd.CombinedOutput() // the caller checks the exit code

	return cmd.ProcessState.ExitCode(), string(output)
}

// secondGuardWaits starts a second guard. It waits for the lock, reports that in its log, and ends on SIGTERM.
func secondGuardWaits(t *testing.T) {
	t.Helper()

	log := filepath.Join(t.TempDir(), "log")

	file, err := os.Create(log)
	require.NoError(t, err)

	defer file.Close()

	cmd := exec.Command(extension.BinaryPath, "-state", node.StateFile)
	cmd.Stderr = file
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill() })

	require.Eventually(t, func() bool {
		data, err := os.ReadFile(log)

		return err == nil && strings.Contains(string(data), "another spegel-guard runs on this node")
	}, patience, 100*time.Millisecond)

	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cmd.Wait())
}

// TestRestart_ContinuesHold: a stop releases the ceiling and saves the hold, crashes leave it in force, a second guard waits,
// and mode observe releases it.
func TestRestart_ContinuesHold(t *testing.T) {
	l := newLoop(t, longHold, nil)

	l.runAway(t, l.spegel, l.peer)
	waitCPUMax(t, l, l.spegel, ceiling500, patience)

	since := heldSince(t, l)

	l.stop(t)
	assert.Equal(t, unlimited, cpuMax(t, l.spegel), "cpu.max after the stop")
	noJournals(t)
	assert.FileExists(t, node.StateFile)

	l.start(t, longHold)

	waitCPUMax(t, l, l.spegel, ceiling500, patience)
	assert.Equal(t, since, heldSince(t, l), "start of the saved hold")
	assert.Equal(t, "SpegelHighCPU", waitCeiling(t, l.guard, resources.CeilingApplied, unlimited).Rule)

	for range 4 {
		l.crashAndRestart(t)
		assert.Equal(t, ceiling500, cpuMax(t, l.spegel))
		assert.Equal(t, []string{strings.TrimPrefix(l.spegel.Cgroup, "/")}, journals(t))
	}

	assert.True(t, waitCeiling(t, l.guard, resources.CeilingApplied, unlimited).Adopted)

	code, output := runGuard(t, "restore")
	assert.Equal(t, 1, code)
	assert.Contains(t, output, "another spegel-guard runs on this node")

	secondGuardWaits(t)
	assert.Equal(t, ceiling500, cpuMax(t, l.spegel))

	l.restart(t, "mode: observe\n"+longHold)
	assert.Equal(t, unlimited, cpuMax(t, l.spegel))
	noJournals(t)

	_, err := l.guard.WaitState(t.Context(), patience, resources.StateFiring)
	require.NoError(t, err)
	assert.Equal(t, unlimited, cpuMax(t, l.spegel))
}

// TestRestart_AdoptsCeilingLeftInForce: the ceiling stays in force with onStop: keep. It is released by a start with an
// invalid document, adopted from a journal of the first version, and released by the command restore.
func TestRestart_AdoptsCeilingLeftInForce(t *testing.T) {
	document := strings.Replace(longHold, "hold: 1h", "hold: 1h, onStop: keep", 1)
	l := newLoop(t, document, nil)

	l.runAway(t, l.spegel, l.peer)
	waitCPUMax(t, l, l.spegel, ceiling500, patience)

	l.stop(t)
	assert.Equal(t, ceiling500, cpuMax(t, l.spegel))

	l.startInvalid(t)

	// The hold continues with a valid document.
	l.start(t, document)
	waitCPUMax(t, l, l.spegel, ceiling500, patience)

	l.stop(t)
	assert.Equal(t, ceiling500, cpuMax(t, l.spegel))

	// A journal of the first version, whose ceiling has no extra microsecond.
	dir, err := cgroup.Open(node.CgroupRoot, strings.TrimPrefix(l.spegel.Cgroup, "/"))
	require.NoError(t, err)

	defer dir.Close()

	journal, err := dir.ReadJournal()
	require.NoError(t, err)
	require.NoError(t, node.RemoveSavedState())

	const old = "50000 100000"

	body := fmt.Sprintf(`{"version":1,"target":%q,"rule":"SpegelHighCPU","reason":"r","original":"max 100000","applied":%q,"since":%d,"holdUntil":%d,"bootID":%q}`,
		journal.Target, old, journal.Since, journal.HoldUntil, journal.BootID+"\n")
	require.NoError(t, node.SetCPUMax(l.spegel.Cgroup, old))
	require.NoError(t, unix.Setxattr(filepath.Join(node.CgroupRoot, l.spegel.Cgroup), "trusted.spegelguard",
		fmt.Appendf(nil, "%08x %s", crc32.ChecksumIEEE([]byte(body)), body), 0))

	l.start(t, document)

	waitCPUMax(t, l, l.spegel, ceiling500, patience)
	assert.Equal(t, journal.Since, heldSince(t, l), "start of the journal's hold")
	assert.Zero(t, waitCeiling(t, l.guard, resources.CeilingApplied, unlimited).ExternalChanges, "the ceiling of the older guard counts as an external change")
	waitLogged(t, l.guard.Log, "ceiling adopted")

	// A ceiling whose hold is over is released.
	l.stop(t)

	journal, err = dir.ReadJournal()
	require.NoError(t, err)
	assert.Equal(t, cgroup.JournalVersion, journal.Version)

	journal.HoldUntil = journal.Since
	require.NoError(t, dir.WriteJournal(journal))
	l.startInvalid(t)

	// The saved state still has the hold. A crash leaves a ceiling for the command restore.
	l.start(t, document)

	waitCPUMax(t, l, l.spegel, ceiling500, patience)
	assert.Equal(t, journal.Since, heldSince(t, l), "start of the saved hold")
	require.NoError(t, l.guard.Signal(t.Context(), syscall.SIGKILL))

	_, err = l.guard.Wait(t.Context())
	require.NoError(t, err)

	code, output := runGuard(t, "restore")
	assert.Zero(t, code, output)
	assert.Contains(t, output, fmt.Sprintf("cpu.max %q, was %q", unlimited, ceiling500))
	assert.Contains(t, output, "1 ceilings released, none is left")
	assert.Equal(t, unlimited, cpuMax(t, l.spegel))
	noJournals(t)
	assert.NoFileExists(t, node.StateFile)

	code, output = runGuard(t, "restore")
	assert.Zero(t, code)
	assert.Contains(t, output, "0 ceilings released")
}

// startInvalid runs the service with an invalid document until the error is its last line, and stops it. The service
// releases the ceiling that it finds.
func (l *loop) startInvalid(t *testing.T) {
	t.Helper()

	s := serve(t, l.node, extension.ServicePath, "interval: 5ms")
	s.diagnoses(t, `line 1: invalid interval \"5ms\": must be`)
	assert.Equal(t, unlimited, cpuMax(t, l.spegel))
	noJournals(t)
	s.stops(t)
}

// TestRestart_ContinuesYielding: with conflict: yield an external change stays in force for the rest of the hold, also after
// a crash.
func TestRestart_ContinuesYielding(t *testing.T) {
	document := strings.Replace(longHold, "hold: 1h", "hold: 1h, conflict: yield", 1)
	l := newLoop(t, document, nil)

	l.runAway(t, l.spegel, l.peer)
	waitCPUMax(t, l, l.spegel, ceiling500, patience)

	const external = "80000 100000"

	require.NoError(t, l.spegel.Resize(t.Context(), 80_000))
	assert.Equal(t, uint64(1), waitCeiling(t, l.guard, resources.CeilingYielded, external).ExternalChanges)

	time.Sleep(4 * time.Second)
	assert.Equal(t, external, cpuMax(t, l.spegel), "before the crash")

	l.crashAndRestart(t)
	waitCeiling(t, l.guard, resources.CeilingYielded, external)
	time.Sleep(4 * time.Second)
	assert.Equal(t, external, cpuMax(t, l.spegel), "after the crash")
	noJournals(t)
}
