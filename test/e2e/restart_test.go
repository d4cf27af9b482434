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

// longHold has a hold that no test outlasts.
const longHold = `
interval: 200ms
rules: [{name: SpegelHighCPU, signal: cpu, threshold: 400m, for: 10s, window: 2s}]
ceiling: {cpu: 500m, floor: 100m, hold: 10m, releaseAfter: 5s}
`

// restart stops the guard and starts it with another document, as machined does when it changes.
func (l *loop) restart(t *testing.T, document string) {
	t.Helper()

	code, _, err := l.guard.Stop(t.Context())
	require.NoError(t, err)
	require.Zero(t, code, "%s", l.guard.Log)

	l.start(t, document)
}

func journals(t *testing.T) []string {
	t.Helper()

	found, err := cgroup.FindJournals(node.CgroupRoot)
	require.NoError(t, err)

	return found
}

// noJournals waits until no cgroup has a journal: a ceiling's is removed after cpu.max was written.
func noJournals(t *testing.T) {
	t.Helper()

	require.Eventually(t, func() bool { return len(journals(t)) == 0 }, patience, 20*time.Millisecond, "a journal is left behind")
}

// byHand runs the guard's binary on the node and returns its exit code and what it printed.
func byHand(t *testing.T, args ...string) (int, string) {
	t.Helper()

	cmd := exec.Command(extension.BinaryPath, append([]string{"-state", node.StateFile}, args...)...)
	output, _ := cmd.CombinedOutput() // the exit code tells

	return cmd.ProcessState.ExitCode(), string(output)
}

// secondGuardWaits starts the binary beside the service. It says what it waits for, and ends when it is told to.
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

// TestRestartsInsideTheHold: a stop releases and remembers, a crash loop holds, a second guard waits, and mode observe lets go.
func TestRestartsInsideTheHold(t *testing.T) {
	l := newLoop(t, longHold, nil)

	l.runAway(t, l.spegel, l.peer)
	waitCPUMax(t, l, l.spegel, capped, patience)

	since := heldSince(t, l)

	_, _, err := l.guard.Stop(t.Context())
	require.NoError(t, err)
	assert.Equal(t, unlimited, cpuMax(t, l.spegel), "a stop leaves nothing in force")
	noJournals(t)
	assert.FileExists(t, node.StateFile)

	l.start(t, longHold)

	waitCPUMax(t, l, l.spegel, capped, patience)
	assert.Equal(t, since, heldSince(t, l), "the remembered hold")
	assert.Equal(t, "SpegelHighCPU", waitCeiling(t, l.guard, resources.CeilingApplied, unlimited).Rule)

	for range 4 {
		l.crashAndRestart(t)
		assert.Equal(t, capped, cpuMax(t, l.spegel))
		assert.Equal(t, []string{strings.TrimPrefix(l.spegel.Cgroup, "/")}, journals(t))
	}

	assert.True(t, waitCeiling(t, l.guard, resources.CeilingApplied, unlimited).Adopted)

	code, output := byHand(t, "restore")
	assert.Equal(t, 1, code)
	assert.Contains(t, output, "another spegel-guard runs on this node")

	secondGuardWaits(t)
	assert.Equal(t, capped, cpuMax(t, l.spegel))

	l.restart(t, "mode: observe\n"+longHold)
	assert.Equal(t, unlimited, cpuMax(t, l.spegel))
	noJournals(t)

	_, err = l.guard.WaitState(t.Context(), patience, resources.StateFiring)
	require.NoError(t, err)
	assert.Equal(t, unlimited, cpuMax(t, l.spegel))
}

// TestWhatIsKept: onStop: keep, a document that cannot be used, an older guard's
// journal, and restore.
func TestWhatIsKept(t *testing.T) {
	document := strings.Replace(longHold, "hold: 10m", "hold: 10m, onStop: keep", 1)
	l := newLoop(t, document, nil)

	l.runAway(t, l.spegel, l.peer)
	waitCPUMax(t, l, l.spegel, capped, patience)

	_, _, err := l.guard.Stop(t.Context())
	require.NoError(t, err)
	assert.Equal(t, capped, cpuMax(t, l.spegel))

	l.broken(t)

	// The hold outlasts it.
	l.start(t, document)
	waitCPUMax(t, l, l.spegel, capped, patience)

	_, _, err = l.guard.Stop(t.Context())
	require.NoError(t, err)
	assert.Equal(t, capped, cpuMax(t, l.spegel))

	// The first version's journal, and its ceiling without a mark.
	dir, err := cgroup.Open(node.CgroupRoot, strings.TrimPrefix(l.spegel.Cgroup, "/"))
	require.NoError(t, err)

	defer dir.Close()

	journal, err := dir.ReadJournal()
	require.NoError(t, err)
	require.NoError(t, node.ForgetDecisions())

	const old = "50000 100000"

	body := fmt.Sprintf(`{"version":1,"target":%q,"rule":"SpegelHighCPU","reason":"r","original":"max 100000","applied":%q,"since":%d,"holdUntil":%d,"bootID":%q}`,
		journal.Target, old, journal.Since, journal.HoldUntil, journal.BootID+"\n")
	require.NoError(t, node.SetCPUMax(l.spegel.Cgroup, old))
	require.NoError(t, unix.Setxattr(filepath.Join(node.CgroupRoot, l.spegel.Cgroup), "trusted.spegelguard",
		fmt.Appendf(nil, "%08x %s", crc32.ChecksumIEEE([]byte(body)), body), 0))

	l.start(t, document)

	waitCPUMax(t, l, l.spegel, capped, patience)
	assert.Equal(t, journal.Since, heldSince(t, l), "the journal's hold")
	assert.Zero(t, waitCeiling(t, l.guard, resources.CeilingApplied, unlimited).ExternalChanges, "the older guard's is no external value")
	assert.Contains(t, l.guard.Log.String(), "ceiling adopted")

	// Nor does a ceiling outlast its hold.
	_, _, err = l.guard.Stop(t.Context())
	require.NoError(t, err)

	journal, err = dir.ReadJournal()
	require.NoError(t, err)
	assert.Equal(t, cgroup.JournalVersion, journal.Version)

	journal.HoldUntil = journal.Since
	require.NoError(t, dir.WriteJournal(journal))
	l.broken(t)

	// The memory knows the hold all the same; and a crash leaves a ceiling for restore.
	l.start(t, document)

	waitCPUMax(t, l, l.spegel, capped, patience)
	assert.Equal(t, journal.Since, heldSince(t, l), "the remembered hold")
	require.NoError(t, l.guard.Signal(t.Context(), syscall.SIGKILL))

	_, err = l.guard.Wait(t.Context())
	require.NoError(t, err)

	code, output := byHand(t, "restore")
	assert.Zero(t, code, output)
	assert.Contains(t, output, fmt.Sprintf("cpu.max %q, was %q", unlimited, capped))
	assert.Contains(t, output, "1 ceilings released, none is left")
	assert.Equal(t, unlimited, cpuMax(t, l.spegel))
	noJournals(t)
	assert.NoFileExists(t, node.StateFile)

	code, output = byHand(t, "restore")
	assert.Zero(t, code)
	assert.Contains(t, output, "0 ceilings released")
}

// broken runs the service with a document that has a mistake until its diagnosis is the last line, and stops it: it
// took back what it found.
func (l *loop) broken(t *testing.T) {
	t.Helper()

	s := serve(t, l.node, extension.ServicePath, "interval: 5ms")
	s.diagnoses(t, `line 1: invalid interval \"5ms\": must be`)
	assert.Equal(t, unlimited, cpuMax(t, l.spegel))
	noJournals(t)
	s.stops(t)
}

// TestYieldingOutlastsARestart: what a person or kubelet wrote stays for the rest of the hold.
func TestYieldingOutlastsARestart(t *testing.T) {
	document := strings.Replace(longHold, "hold: 10m", "hold: 10m, conflict: yield", 1)
	document = strings.Replace(document, "for: 10s", "for: 2s", 1)
	l := newLoop(t, document, nil)

	l.runAway(t, l.spegel, l.peer)
	waitCPUMax(t, l, l.spegel, capped, patience)

	const theirs = "80000 100000"

	require.NoError(t, l.spegel.Resize(t.Context(), 80_000))
	assert.Equal(t, uint64(1), waitCeiling(t, l.guard, resources.CeilingYielded, theirs).ExternalChanges)

	time.Sleep(4 * time.Second)
	assert.Equal(t, theirs, cpuMax(t, l.spegel), "not put back")

	l.crashAndRestart(t)
	waitCeiling(t, l.guard, resources.CeilingYielded, theirs)
	time.Sleep(4 * time.Second)
	assert.Equal(t, theirs, cpuMax(t, l.spegel), "nor by the next process")
	noJournals(t)
}
