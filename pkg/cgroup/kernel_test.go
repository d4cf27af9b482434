// SPDX-License-Identifier: MPL-2.0

//go:build linux

package cgroup_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/test/kernel"
)

const root = "/sys/fs/cgroup"

// newCgroup makes a cgroup on the real kernel.
func newCgroup(t *testing.T) (*cgroup.Dir, string) {
	t.Helper()
	kernel.Require(t)

	path := filepath.Join("spegel-guard-test", strings.ReplaceAll(t.Name(), "/", "-"))
	name := filepath.Join(root, path)

	require.NoError(t, os.MkdirAll(name, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(root, "spegel-guard-test", "cgroup.subtree_control"), []byte("+cpu +memory +pids"), 0o644))
	t.Cleanup(func() { os.Remove(name) })

	dir, err := cgroup.Open(root, path)
	require.NoError(t, err)
	t.Cleanup(func() { dir.Close() })

	return dir, name
}

func write(t *testing.T, name, value string) {
	t.Helper()
	require.NoError(t, os.WriteFile(name, []byte(value), 0o644))
}

func read(t *testing.T, name string) string {
	t.Helper()

	data, err := os.ReadFile(name)
	require.NoError(t, err)

	return string(data[:len(data)-1])
}

func journal(original, applied string) cgroup.Journal {
	return cgroup.Journal{Target: "a/b/c", OwnerLimit: original, Applied: applied, BootID: "boot"}
}

// newBurstingCgroup is one whose owner lets it burst, and the journal of a ceiling with no room for that.
func newBurstingCgroup(t *testing.T, applied string) (*cgroup.Dir, string, cgroup.Journal) {
	t.Helper()

	return newOwnedCgroup(t, "200000 100000", "150000", applied)
}

// newOwnedCgroup is one with the owner's limit and burst, and the journal of a ceiling.
func newOwnedCgroup(t *testing.T, owner, burst, applied string) (*cgroup.Dir, string, cgroup.Journal) {
	t.Helper()

	dir, name := newCgroup(t)
	write(t, name+"/cpu.max", owner)
	write(t, name+"/cpu.max.burst", burst)

	j := journal(owner, applied)

	var err error

	j.OwnerBurstUsec, err = dir.ReadBurst()
	require.NoError(t, err)
	require.Equal(t, burst, strconv.FormatUint(j.OwnerBurstUsec, 10))

	return dir, name, j
}

func TestApplyAndRestore(t *testing.T) {
	for _, original := range []string{"max 100000", "200000 100000", "max 20000"} {
		dir, name := newCgroup(t)
		write(t, name+"/cpu.max", original)

		owner, err := dir.ReadCPUMax()
		require.NoError(t, err)

		limited, ok := owner.Limit(500, 100)
		require.True(t, ok)

		j := journal(owner.String(), limited.String())

		got, err := dir.Apply(j)
		require.NoError(t, err)
		assert.Equal(t, limited, got)
		assert.Equal(t, limited.String(), read(t, name+"/cpu.max"))

		stored, err := dir.ReadJournal()
		require.NoError(t, err)
		assert.Equal(t, original, stored.OwnerLimit)

		found, err := cgroup.FindJournals(root)
		require.NoError(t, err)
		assert.Equal(t, []string{dir.Path()}, found)

		_, err = dir.Restore(stored)
		require.NoError(t, err)
		assert.Equal(t, original, read(t, name+"/cpu.max"))

		_, err = dir.ReadJournal()
		assert.ErrorIs(t, err, cgroup.ErrNoJournal)
		require.NoError(t, os.Remove(name))
	}
}

func TestBurstStepsDownFirstAndComesBack(t *testing.T) {
	dir, name, j := newBurstingCgroup(t, "50000 100000")

	_, err := dir.Apply(j)
	require.NoError(t, err)
	assert.Equal(t, "50000", read(t, name+"/cpu.max.burst"))

	_, err = dir.Restore(j)
	require.NoError(t, err)
	assert.Equal(t, "200000 100000", read(t, name+"/cpu.max"))
	assert.Equal(t, "150000", read(t, name+"/cpu.max.burst"))
}

func TestRestoreLeavesAnExternalValue(t *testing.T) {
	dir, name := newCgroup(t)

	j := journal("max 100000", "50000 100000")
	_, err := dir.Apply(j)
	require.NoError(t, err)

	write(t, name+"/cpu.max", "70000 100000")

	_, err = dir.Restore(j)
	require.NoError(t, err)
	assert.Equal(t, "70000 100000", read(t, name+"/cpu.max"))
}

// TestAStepGoesStraight from one ceiling to the next, and a crash in between is taken back all the same.
func TestAStepGoesStraight(t *testing.T) {
	dir, name, j := newBurstingCgroup(t, "50001 100000")

	_, err := dir.Apply(j)
	require.NoError(t, err)

	for _, next := range []string{"30001 100000", "70001 100000"} {
		j.Previous, j.Applied = j.Applied, next

		_, err = dir.Apply(j)
		require.NoError(t, err)
		assert.Equal(t, next, read(t, name+"/cpu.max"))
		assert.Equal(t, strings.Fields(next)[0], read(t, name+"/cpu.max.burst"), "as much of it as there is room for")

		stored, err := dir.ReadJournal()
		require.NoError(t, err)
		assert.Equal(t, next, stored.Applied)
		assert.Empty(t, stored.Previous)
	}

	// Ended after the journal, before the write: the older ceiling is in force.
	j.Previous, j.Applied = j.Applied, "20001 100000"
	require.NoError(t, dir.WriteJournal(j))

	stored, err := dir.ReadJournal()
	require.NoError(t, err)

	_, err = dir.Restore(stored)
	require.NoError(t, err)
	assert.Equal(t, "200000 100000", read(t, name+"/cpu.max"))
	assert.Equal(t, "150000", read(t, name+"/cpu.max.burst"))
}

// TestJournal_ReadsLongReasons: a reason has the caller's name, whose length the guard does not choose. A journal that cannot be read
// would leave its ceiling in force after a crash.
func TestJournal_ReadsLongReasons(t *testing.T) {
	dir, _ := newCgroup(t)
	j := journal("max 100000", "50001 100000")
	j.Reason = "throttled by " + strings.Repeat("x", 40_000)

	_, err := dir.Apply(j)
	require.NoError(t, err)

	stored, err := dir.ReadJournal()
	require.NoError(t, err)
	assert.Equal(t, j.Reason, stored.Reason)

	// The kernel's limit of an attribute is 64 KiB (XATTR_SIZE_MAX). The ceiling is not applied then.
	_, err = dir.Restore(stored)
	require.NoError(t, err)

	j.Reason += j.Reason
	_, err = dir.Apply(j)
	require.ErrorIs(t, err, unix.E2BIG)

	value, err := dir.ReadCPUMax()
	require.NoError(t, err)
	assert.Equal(t, "max 100000", value.String())
}

func TestApplyRefusesWhatChangedMeanwhile(t *testing.T) {
	dir, name := newCgroup(t)
	write(t, name+"/cpu.max", "70000 100000")

	_, err := dir.Apply(journal("max 100000", "50001 100000"))
	require.ErrorIs(t, err, cgroup.ErrChanged)
	assert.Equal(t, "70000 100000", read(t, name+"/cpu.max"))

	_, err = dir.ReadJournal()
	assert.ErrorIs(t, err, cgroup.ErrNoJournal)

	_, err = dir.Apply(journal("70000 100000", "500 100000"))
	require.ErrorIs(t, err, cgroup.ErrMalformed, "refused before the kernel has to")
}

func TestAJournalOfTheFirstVersionIsTakenBack(t *testing.T) {
	dir, name := newCgroup(t)
	write(t, name+"/cpu.max", "50000 100000")
	require.NoError(t, unix.Setxattr(name, "trusted.spegelguard", released(t, "v0.0"), 0))

	j, err := dir.ReadJournal()
	require.NoError(t, err)

	_, err = dir.Restore(j)
	require.NoError(t, err)
	assert.Equal(t, "max 100000", read(t, name+"/cpu.max"))
}

func TestControllable(t *testing.T) {
	dir, name := newCgroup(t)
	require.NoError(t, dir.Controllable())

	write(t, name+"/cgroup.freeze", "1")
	require.Eventually(t, func() bool { return errors.Is(dir.Controllable(), cgroup.ErrFrozen) }, time.Minute, 10*time.Millisecond)
	write(t, name+"/cgroup.freeze", "0")
	require.Eventually(t, func() bool { return dir.Controllable() == nil }, time.Minute, 10*time.Millisecond)

	// A child without the cpu controller: nobody delegates it further down.
	bare := name + "/bare"
	require.NoError(t, os.Mkdir(bare, 0o755))

	child, err := cgroup.Open(root, dir.Path()+"/bare")
	require.NoError(t, err)

	defer child.Close()

	err = child.Controllable()
	require.ErrorIs(t, err, cgroup.ErrNoController)
	assert.NotErrorIs(t, err, cgroup.ErrGone)
	assert.ErrorContains(t, err, "must delegate cpu")

	_, err = child.ReadCPUMax()
	require.Error(t, err)
	assert.NotErrorIs(t, err, cgroup.ErrGone, "the file is missing, not the cgroup")

	// Seen from a root without cpu, as on a hybrid host.
	require.NoError(t, os.Mkdir(bare+"/child", 0o755))

	hybrid, err := cgroup.Open(bare, "child")
	require.NoError(t, err)

	defer hybrid.Close()

	assert.ErrorContains(t, hybrid.Controllable(), "cgroup v1 holds it")
	require.NoError(t, os.Remove(bare+"/child"))

	write(t, bare+"/cgroup.type", "threaded")
	require.ErrorIs(t, child.Controllable(), cgroup.ErrThreaded)

	require.NoError(t, os.Remove(bare))
	require.ErrorIs(t, child.Controllable(), cgroup.ErrGone)
}

func TestCheckRootSaysWhatIsThere(t *testing.T) {
	kernel.Require(t)

	layout := t.TempDir()
	require.NoError(t, unix.Mount("tmpfs", layout, "tmpfs", 0, ""))
	t.Cleanup(func() { unix.Unmount(layout, unix.MNT_DETACH) })

	assert.ErrorContains(t, cgroup.CheckRoot(layout), "is not a cgroup2 file system")

	unified := layout + "/unified"
	require.NoError(t, os.Mkdir(unified, 0o755))
	require.NoError(t, unix.Mount(root, unified, "", unix.MS_BIND, ""))

	err := cgroup.CheckRoot(layout)
	require.ErrorIs(t, err, cgroup.ErrNotUnified)
	assert.ErrorContains(t, err, "the host is hybrid")
	assert.NoError(t, cgroup.CheckRoot(unified))
}

func TestAReCreatedPathIsAnotherCgroup(t *testing.T) {
	dir, name := newCgroup(t)

	reader, err := dir.NewReader()
	require.NoError(t, err)

	defer reader.Close()

	require.NoError(t, os.Remove(name))
	require.NoError(t, os.Mkdir(name, 0o755))

	_, err = reader.CPUStat()
	require.ErrorIs(t, err, cgroup.ErrGone)

	_, err = dir.Apply(journal("max 100000", "50000 100000"))
	require.ErrorIs(t, err, cgroup.ErrGone)
	assert.Equal(t, "max 100000", read(t, name+"/cpu.max"), "the new cgroup at the same path is untouched")

	again, err := cgroup.Open(root, dir.Path())
	require.NoError(t, err)

	defer again.Close()

	assert.NotEqual(t, dir.ID(), again.ID())
}

func TestReadOnlyMountIsNotPermitted(t *testing.T) {
	dir, _ := newCgroup(t)
	require.NoError(t, dir.Controllable())

	mount := t.TempDir()
	require.NoError(t, unix.Mount(root, mount, "", unix.MS_BIND, ""))
	t.Cleanup(func() { unix.Unmount(mount, unix.MNT_DETACH) })
	require.NoError(t, unix.Mount("", mount, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))

	readOnly, err := cgroup.Open(mount, dir.Path())
	require.NoError(t, err)

	defer readOnly.Close()

	assert.True(t, cgroup.IsNotPermitted(readOnly.Controllable()))

	_, err = readOnly.Apply(journal("max 100000", "50000 100000"))
	assert.True(t, cgroup.IsNotPermitted(err), err)
}

func TestOpenStaysInTheHierarchy(t *testing.T) {
	kernel.Require(t)

	_, err := cgroup.Open(root, "../../../etc")
	assert.ErrorIs(t, err, unix.EXDEV)
	_, err = cgroup.Open(root, "nowhere/at/all")
	assert.ErrorIs(t, err, cgroup.ErrGone)

	// The parent is in the same file system.
	_, name := newCgroup(t)
	_, err = cgroup.Open(name, "..")
	assert.ErrorIs(t, err, unix.EXDEV)

	_, err = cgroup.Open("/proc", "sys/kernel")
	assert.ErrorIs(t, err, cgroup.ErrNotUnified)
	assert.ErrorIs(t, cgroup.CheckRoot("/proc"), cgroup.ErrNotUnified)
	assert.NoError(t, cgroup.CheckRoot(root))
}
