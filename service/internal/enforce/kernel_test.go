// SPDX-License-Identifier: MPL-2.0

//go:build linux

package enforce_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/internal/process"
	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/service/internal/decide"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
	"github.com/spegel-guard/spegel-guard/service/internal/host"
	"github.com/spegel-guard/spegel-guard/test/kernel"
)

const (
	root   = "/sys/fs/cgroup"
	parent = "spegel-guard-enforce"
)

// bench is a container's cgroup on the real kernel, with a process, and its ceiling.
type bench struct {
	t       *testing.T
	node    enforce.Node
	name    string
	target  enforce.Target
	cmd     *exec.Cmd
	ceiling *enforce.Ceiling
	now     time.Duration
}

func newBench(t *testing.T) *bench {
	t.Helper()
	kernel.Require(t)

	path := filepath.Join(parent, strings.NewReplacer("/", "-", " ", "-").Replace(t.Name()))
	b := &bench{t: t, node: enforce.NewNode(host.Host{Proc: "/proc", Cgroup: root, BootID: "boot"}, nil), name: filepath.Join(root, path), now: boottime.Now()}

	require.NoError(t, os.MkdirAll(b.name, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(root, parent, "cgroup.subtree_control"), []byte("+cpu"), 0))
	t.Cleanup(func() { os.Remove(b.name) })

	b.cmd = exec.Command("/proc/self/exe", "-test.run=^TestSleeper$")
	b.cmd.Env = append(os.Environ(), sleeperEnv+"=1")
	require.NoError(t, b.cmd.Start())
	t.Cleanup(func() {
		b.cmd.Process.Kill()
		b.cmd.Wait()
	})

	start, err := process.Start("/proc", b.cmd.Process.Pid)
	require.NoError(t, err)

	b.target = enforce.Target{
		ID: "spegel/spegel-x/registry", ContainerID: "c", PID: b.cmd.Process.Pid, PIDStartTime: start, Cgroup: path, CgroupInode: inode(t, b.name),
	}
	b.ceiling = enforce.New(b.node, b.target)
	t.Cleanup(b.ceiling.Close)

	return b
}

const sleeperEnv = "SPEGEL_GUARD_SLEEPER"

// TestSleeper is the container's process.
func TestSleeper(t *testing.T) {
	if os.Getenv(sleeperEnv) == "" {
		t.Skip("only as a process of another test")
	}

	time.Sleep(time.Hour) // it is killed at the test's end
}

func inode(t *testing.T, name string) uint64 {
	t.Helper()

	var stat unix.Stat_t

	require.NoError(t, unix.Stat(name, &stat))

	return stat.Ino
}

func desired() *decide.DesiredCeiling {
	return &decide.DesiredCeiling{
		Rule: "SpegelHighCPU", Reason: "cpu 1803m above 400m",
		Millicores: 500, FloorMillicores: 100, Since: boottime.Now(), Until: boottime.Now() + time.Hour,
	}
}

// step reconciles, a while later each time, and returns what was done.
func (b *bench) step(spec *decide.DesiredCeiling, passed time.Duration) []string {
	b.t.Helper()

	b.now += passed

	var kinds []string

	for _, action := range b.ceiling.Reconcile(spec, b.now) {
		kinds = append(kinds, action.Kind)
	}

	return kinds
}

func (b *bench) read(file string) string {
	b.t.Helper()

	data, err := os.ReadFile(filepath.Join(b.name, file))
	require.NoError(b.t, err)

	return strings.TrimSpace(string(data))
}

func (b *bench) write(file, value string) {
	b.t.Helper()
	require.NoError(b.t, os.WriteFile(filepath.Join(b.name, file), []byte(value), 0))
}

func (b *bench) noJournal() {
	b.t.Helper()

	found, err := cgroup.FindJournals(root)
	require.NoError(b.t, err)
	assert.Empty(b.t, found)
}

func TestApplyAdjustRelease(t *testing.T) {
	b, spec := newBench(t), desired()

	assert.Equal(t, []string{enforce.ActionApply}, b.step(spec, 0))
	assert.Equal(t, "50001 100000", b.read("cpu.max"))
	assert.NotZero(t, b.ceiling.Status().AppliedAt)
	assert.Empty(t, b.step(spec, time.Second))

	spec.Millicores = 300
	assert.Equal(t, []string{enforce.ActionAdjust}, b.step(spec, time.Second))
	assert.Equal(t, "30001 100000", b.read("cpu.max"))

	// A longer hold is written down, or a restart would end it early.
	spec.Until += time.Hour
	assert.Empty(t, b.step(spec, time.Second))

	dir, err := cgroup.Open(root, b.target.Cgroup)
	require.NoError(t, err)

	defer dir.Close()

	journal, err := dir.ReadJournal()
	require.NoError(t, err)
	assert.Equal(t, spec.Until, journal.HoldUntil)
	assert.Equal(t, "max 100000", journal.OwnerLimit)

	assert.Equal(t, []string{enforce.ActionRelease}, b.step(nil, time.Second))
	assert.Equal(t, "max 100000", b.read("cpu.max"))
	b.noJournal()
}

// TestReassertBacksOff: each external changes is counted, taken as the owner's, and answered ever more slowly.
func TestReassertBacksOff(t *testing.T) {
	b, spec := newBench(t), desired()
	b.step(spec, 0)

	wait := time.Second

	for n := uint64(1); n <= 4; n++ {
		b.write("cpu.max", "80000 100000")
		assert.Equal(t, []string{enforce.ActionExternalChange}, b.step(spec, 0))
		assert.Equal(t, enforce.StateYielded, b.ceiling.Status().State)
		assert.Zero(t, b.ceiling.Status().AppliedAt, "none is in force")
		assert.Equal(t, n, b.ceiling.Status().ExternalChanges)
		assert.Equal(t, "80000 100000", b.ceiling.Status().OwnerLimit)

		assert.Empty(t, b.step(spec, wait-time.Millisecond), "not before the back-off is over")
		assert.Equal(t, []string{enforce.ActionApply}, b.step(spec, time.Millisecond))
		assert.Equal(t, "50001 100000", b.read("cpu.max"))

		wait *= 2
	}

	b.step(nil, 0)
	assert.Equal(t, "80000 100000", b.read("cpu.max"))
	b.noJournal()
}

// TestYieldLeavesTheirsForTheHold and no longer.
func TestYieldLeavesTheirsForTheHold(t *testing.T) {
	b, spec := newBench(t), desired()
	spec.Yield = true
	b.step(spec, 0)

	b.write("cpu.max", "max 100000")
	assert.Equal(t, []string{enforce.ActionExternalChange}, b.step(spec, time.Second))
	assert.Empty(t, b.step(spec, time.Hour))
	assert.Equal(t, "max 100000", b.read("cpu.max"))
	assert.Equal(t, enforce.StateYielded, b.ceiling.Status().State)
	b.noJournal()

	// A guard that was started again knows by the memory.
	again := enforce.New(b.node, b.target)
	defer again.Close()

	spec.YieldedSince = spec.Since
	assert.Empty(t, again.Reconcile(spec, b.now))
	assert.Equal(t, enforce.StateYielded, again.Status().State)

	next := desired()
	next.Yield, next.Since = spec.Yield, spec.Since+1
	assert.Equal(t, []string{enforce.ActionApply}, b.step(next, time.Second), "the next hold is another matter")
	b.step(nil, 0)
}

// TestTheOwnerMayChooseTheVeryCeiling: 500m set in place during a hold of 500m is the owner's, and stays.
func TestTheOwnerMayChooseTheVeryCeiling(t *testing.T) {
	b, spec := newBench(t), desired()
	b.step(spec, 0)

	b.write("cpu.max", "50000 100000")
	assert.Equal(t, []string{enforce.ActionExternalChange}, b.step(spec, time.Second))
	assert.Empty(t, b.step(spec, time.Minute))
	assert.Equal(t, enforce.StateOwnerLower, b.ceiling.Status().State)

	b.step(nil, 0)
	assert.Equal(t, "50000 100000", b.read("cpu.max"))
	b.noJournal()
}

// TestCeiling_ReplacesAPeriodThatIsTooShort: the smallest quota of the kernel, 1 ms, is a whole core in a period of 1 ms.
func TestCeiling_ReplacesAPeriodThatIsTooShort(t *testing.T) {
	for _, owner := range []string{"max 1000", "1500 1000"} {
		t.Run(owner, func(t *testing.T) {
			b := newBench(t)
			b.write("cpu.max", owner)

			assert.Equal(t, []string{enforce.ActionApply}, b.step(desired(), 0))
			assert.Equal(t, "50001 100000", b.read("cpu.max"))

			b.step(nil, 0)
			assert.Equal(t, owner, b.read("cpu.max"))
			b.noJournal()
		})
	}
}

// TestATerminatingContainerIsLetGo before it is killed for not having shut down in time.
func TestATerminatingContainerIsLetGo(t *testing.T) {
	b, spec := newBench(t), desired()
	b.step(spec, 0)

	// Stopped, it cannot come to its SIGTERM, as if it were throttled to a standstill.
	require.NoError(t, b.cmd.Process.Signal(syscall.SIGSTOP))

	// Of two pending signals the kernel delivers SIGTERM first.
	stopped := fmt.Sprintf("/proc/%d/status", b.cmd.Process.Pid)
	require.Eventually(t, func() bool {
		status, err := os.ReadFile(stopped)

		return err == nil && strings.Contains(string(status), "State:\tT")
	}, time.Minute, time.Millisecond)
	require.NoError(t, b.cmd.Process.Signal(syscall.SIGTERM))

	assert.Equal(t, []string{enforce.ActionRelease}, b.step(spec, time.Second))
	assert.Equal(t, enforce.StateTerminating, b.ceiling.Status().State)
	assert.Equal(t, "max 100000", b.read("cpu.max"))
	b.noJournal()

	require.NoError(t, b.cmd.Process.Kill())
	b.cmd.Wait()
	assert.Empty(t, b.step(spec, time.Second), "and none is put on again")
	assert.Equal(t, "max 100000", b.read("cpu.max"))
}

// TestACgroupThatIsGoneIsNoError, however often it is looked at, and its path's next owner is not touched.
func TestACgroupThatIsGoneIsNoError(t *testing.T) {
	b, spec := newBench(t), desired()
	b.step(spec, 0)

	require.NoError(t, os.Remove(b.name))
	require.NoError(t, os.Mkdir(b.name, 0o755))

	assert.Equal(t, []string{enforce.ActionRelease}, b.step(spec, time.Minute), "the end of the ceiling, once")

	for range 10 {
		assert.Empty(t, b.step(spec, time.Minute))
		assert.NoError(t, b.ceiling.Err())
	}

	assert.Empty(t, b.step(nil, time.Minute))
	assert.Equal(t, "max 100000", b.read("cpu.max"))

	// Opened by its path, the inode tells.
	late := enforce.New(b.node, b.target)
	defer late.Close()

	assert.Empty(t, late.Reconcile(spec, b.now))
	assert.ErrorContains(t, late.Err(), "belongs to another container now")
	assert.Equal(t, "max 100000", b.read("cpu.max"))
	b.noJournal()
}

// TestACeilingNobodyWantsIsTakenBack, even one that this process knows nothing of.
func TestACeilingNobodyWantsIsTakenBack(t *testing.T) {
	b := newBench(t)

	other := enforce.New(b.node, b.target)
	other.Reconcile(desired(), b.now)
	other.Close()
	require.Equal(t, "50001 100000", b.read("cpu.max"))

	assert.Empty(t, b.step(nil, time.Second))
	assert.Equal(t, []string{enforce.ActionRelease}, b.step(nil, time.Second))
	assert.Equal(t, "max 100000", b.read("cpu.max"))
	b.noJournal()
}

// TestADamagedJournalIsNeverWrittenOver: what is in cpu.max may be a ceiling whose original nobody knows.
func TestADamagedJournalIsNeverWrittenOver(t *testing.T) {
	b, spec := newBench(t), desired()
	b.write("cpu.max", "60000 100000")
	require.NoError(t, unix.Setxattr(b.name, "trusted.spegelguard", []byte("00000000 {}"), 0))

	assert.Equal(t, []string{enforce.ActionFail}, b.step(spec, time.Second))
	assert.Empty(t, b.step(spec, time.Hour))
	require.ErrorIs(t, b.ceiling.Err(), cgroup.ErrBadJournal)
	assert.ErrorContains(t, b.ceiling.Err(), "remove the xattr trusted.spegelguard")
	assert.Equal(t, "60000 100000", b.read("cpu.max"))

	_, err := enforce.Adopt(b.node, false, zap.NewNop())
	require.ErrorIs(t, err, cgroup.ErrBadJournal)

	all, err := enforce.RestoreAll(b.node)
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.ErrorIs(t, all[0].Err, cgroup.ErrBadJournal)
	assert.Equal(t, "60000 100000", b.read("cpu.max"))

	require.NoError(t, unix.Removexattr(b.name, "trusted.spegelguard"))
	assert.Equal(t, []string{enforce.ActionApply}, b.step(spec, time.Hour))
	b.step(nil, 0)
	assert.Equal(t, "60000 100000", b.read("cpu.max"))
}

// TestAnExternalWriteWhileAwayIsTheOwners: it was made while no guard was at work, and is found at the start.
func TestAnExternalWriteWhileAwayIsTheOwners(t *testing.T) {
	b, spec := newBench(t), desired()
	b.step(spec, 0)
	b.write("cpu.max", "70000 100000")

	left, err := enforce.Adopt(b.node, false, zap.NewNop())
	require.NoError(t, err)
	assert.Empty(t, left.Ceilings)
	assert.Equal(t, spec.Since, left.Changed["spegel/spegel-x/registry"])
	require.Len(t, left.Actions, 2)
	assert.Equal(t, enforce.ActionExternalChange, left.Actions[0].Kind)
	assert.Equal(t, "70000 100000", b.read("cpu.max"))
	b.noJournal()
}

// TestOneGuardPerHierarchy, in whatever mount namespace and under whatever path.
func TestOneGuardPerHierarchy(t *testing.T) {
	kernel.Require(t)

	first := &enforce.Lock{Root: root}
	require.NoError(t, first.Acquire())
	require.NoError(t, first.Acquire(), "it is ours already")

	mount := t.TempDir()
	require.NoError(t, unix.Mount(root, mount, "", unix.MS_BIND, ""))
	t.Cleanup(func() { unix.Unmount(mount, unix.MNT_DETACH) })
	require.NoError(t, unix.Mount("", mount, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))

	second := &enforce.Lock{Root: mount}
	require.ErrorIs(t, second.Acquire(), enforce.ErrLocked)

	first.Release()
	require.NoError(t, second.Acquire())
	second.Release()

	nowhere := &enforce.Lock{Root: t.TempDir()}
	require.ErrorIs(t, nowhere.Acquire(), cgroup.ErrNotUnified)
}
