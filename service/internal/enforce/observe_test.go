// SPDX-License-Identifier: MPL-2.0

//go:build linux

package enforce_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/service/internal/decide"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
	"github.com/spegel-guard/spegel-guard/service/internal/host"
)

// TestOnlyObserving: each machine that does not let a ceiling be written gets a message, once, and no mark.
func TestOnlyObserving(t *testing.T) {
	t.Run("frozen", func(t *testing.T) {
		b, spec := newBench(t), desired()
		b.write("cgroup.freeze", "1")
		require.Eventually(t, func() bool { return strings.Contains(b.read("cgroup.events"), "frozen 1") }, time.Minute, time.Millisecond)

		b.onlyObserves(spec, cgroup.ErrFrozen, "nothing to limit")

		b.write("cgroup.freeze", "0")
		require.Eventually(t, func() bool { return strings.Contains(b.read("cgroup.events"), "frozen 0") }, time.Minute, time.Millisecond)
		assert.Equal(t, []string{enforce.ActionApply}, b.step(spec, time.Second), "thawed")
		b.step(nil, 0)
	})

	t.Run("threaded", func(t *testing.T) {
		b, spec := newBench(t), desired()
		b.write("cgroup.type", "threaded")
		b.onlyObserves(spec, cgroup.ErrThreaded, "must be in a cgroup of type domain")
	})

	t.Run("no controller", func(t *testing.T) {
		b, spec := newBench(t), desired()
		b.ceiling.Close()

		bare := filepath.Join(b.name, "bare")
		require.NoError(t, os.Mkdir(bare, 0o755))
		t.Cleanup(func() { os.Remove(bare) })

		target := b.target
		target.Cgroup, target.CgroupInode = filepath.Join(b.target.Cgroup, "bare"), inode(t, bare)
		b.ceiling = enforce.New(b.node, target)
		b.onlyObserves(spec, cgroup.ErrNoController, "must delegate cpu")
	})

	t.Run("no permission on the file", func(t *testing.T) {
		b, spec := newBench(t), desired()
		require.NoError(t, os.Chmod(filepath.Join(b.name, "cpu.max"), 0o444))

		withoutCapability(t, unix.CAP_DAC_OVERRIDE, func() { b.onlyObserves(spec, unix.EACCES, "not writable") })
	})

	t.Run("no permission for a journal", func(t *testing.T) {
		b, spec := newBench(t), desired()

		withoutCapability(t, unix.CAP_SYS_ADMIN, func() {
			// Asked beforehand, the kernel does not tell; so it is tried, and without a journal nothing is written.
			assert.Equal(t, []string{enforce.ActionFail}, b.step(spec, 0))
			assert.Empty(t, b.step(spec, time.Second), "said once")
		})

		require.ErrorIs(t, b.ceiling.Err(), unix.EPERM)
		assert.True(t, cgroup.IsNotPermitted(b.ceiling.Err()))
		assert.Equal(t, "max 100000", b.read("cpu.max"))
		b.noJournal()

		assert.Equal(t, []string{enforce.ActionApply}, b.step(spec, time.Minute))
		b.step(nil, 0)
	})

	t.Run("read-only", func(t *testing.T) {
		b, spec := newBench(t), desired()

		mount := t.TempDir()
		require.NoError(t, unix.Mount(root, mount, "", unix.MS_BIND, ""))
		t.Cleanup(func() { unix.Unmount(mount, unix.MNT_DETACH) })
		require.NoError(t, unix.Mount("", mount, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))

		b.node = enforce.NewNode(host.Host{Proc: "/proc", Cgroup: mount, BootID: "boot"}, nil)
		b.ceiling.Close()
		b.ceiling = enforce.New(b.node, b.target)
		b.onlyObserves(spec, unix.EROFS, "not writable")

		require.NoError(t, unix.Mount("", mount, "", unix.MS_BIND|unix.MS_REMOUNT, ""))
		assert.Equal(t, []string{enforce.ActionApply}, b.step(spec, time.Minute), "writable again")

		// What cannot be taken back is said once, tried again, and no error any more once it is desired again.
		require.NoError(t, unix.Mount("", mount, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
		assert.Equal(t, []string{enforce.ActionFail}, b.step(nil, time.Minute))
		assert.Empty(t, b.step(nil, time.Hour))
		assert.Equal(t, enforce.StateFailed, b.ceiling.Status().State)
		assert.True(t, b.ceiling.InForce())

		assert.Empty(t, b.step(spec, time.Hour))
		assert.Equal(t, enforce.StateApplied, b.ceiling.Status().State)
		require.NoError(t, b.ceiling.Err())

		require.NoError(t, unix.Mount("", mount, "", unix.MS_BIND|unix.MS_REMOUNT, ""))
		assert.Equal(t, []string{enforce.ActionRelease}, b.step(nil, time.Hour))
		b.noJournal()
	})
}

func (b *bench) onlyObserves(spec *decide.DesiredCeiling, want error, message string) {
	b.t.Helper()

	assert.Equal(b.t, []string{enforce.ActionObserve}, b.step(spec, time.Second))
	assert.Empty(b.t, b.step(spec, time.Minute), "said once")

	require.ErrorIs(b.t, b.ceiling.Err(), want)
	assert.True(b.t, cgroup.IsUncontrollable(b.ceiling.Err()))
	assert.ErrorContains(b.t, b.ceiling.Err(), message)

	status := b.ceiling.Status()
	assert.Equal(b.t, enforce.StateObserved, status.State)
	assert.Contains(b.t, status.LastError, message)
	assert.Equal(b.t, "max 100000", b.read("cpu.max"))
	b.noJournal()
}

// withoutCapability runs a function on a thread that lacks a capability, as a service without it would.
func withoutCapability(t *testing.T, capability uint, do func()) {
	t.Helper()

	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}

	var had [2]unix.CapUserData

	require.NoError(t, unix.Capget(&header, &had[0]))

	lacks := had
	lacks[capability/32].Effective &^= 1 << (capability % 32)
	require.NoError(t, unix.Capset(&header, &lacks[0]))

	do()

	require.NoError(t, unix.Capset(&header, &had[0]))
}
