// SPDX-License-Identifier: MPL-2.0

//go:build linux

package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// roleVariable selects what the test's executable does when a test starts it as another process.
const roleVariable = "PROCESS_TEST_ROLE"

const (
	roleNamespace = "namespace"
	roleLeader    = "leader"
)

// The thread of an initializer is the leader of the thread group.
var _ = endLeader()

// endLeader ends the first thread of the process. The others run on.
func endLeader() bool {
	if os.Getenv(roleVariable) == roleLeader {
		runtime.LockOSThread()
		syscall.Syscall(syscall.SYS_EXIT, 0, 0, 0)
	}

	return false
}

// role returns a command that runs one test of this executable in a role.
func role(t *testing.T, name, value string) *exec.Cmd {
	t.Helper()

	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run", "^"+name+"$")
	cmd.Env = append(os.Environ(), roleVariable+"="+value)

	return cmd
}

// TestAwaitEnd_OtherNamespace runs in a pid namespace of its own with the procfs of another one, as the service on Talos does.
func TestAwaitEnd_OtherNamespace(t *testing.T) {
	if os.Getenv(roleVariable) == roleNamespace {
		require.Equal(t, 1, os.Getpid())

		start, err := Start("/proc", 1)
		require.NoError(t, err)

		// Pid 1 is this process here, and another one in procfs.
		require.ErrorIs(t, AwaitEnd(t.Context(), "/proc", 1, start), errOther)

		// The process that started this one has no pid here.
		parent, err := strconv.Atoi(os.Getenv("PARENT"))
		require.NoError(t, err)

		start, err = Start("/proc", parent)
		require.NoError(t, err)
		require.ErrorIs(t, AwaitEnd(t.Context(), "/proc", parent, start), unix.ESRCH)

		return
	}

	cmd := role(t, t.Name(), roleNamespace)
	cmd.Env = append(cmd.Env, fmt.Sprintf("PARENT=%d", os.Getpid()))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}

	output, err := cmd.CombinedOutput()
	if errors.Is(err, unix.EPERM) {
		t.Skipf("cannot make a pid namespace: %v", err)
	}

	require.NoError(t, err, string(output))
	assert.Contains(t, string(output), "--- PASS")
}

// TestAwaitEnd_LeaderEnded: a process runs until its last thread has ended, although procfs shows its first one as a zombie.
func TestAwaitEnd_LeaderEnded(t *testing.T) {
	cmd := role(t, "none", roleLeader)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})

	pid := cmd.Process.Pid

	require.Eventually(t, func() bool {
		status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))

		return err == nil && bytes.Contains(status, []byte("\nState:\tZ"))
	}, time.Minute, time.Millisecond)

	threads, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "task"))
	require.NoError(t, err)
	require.Greater(t, len(threads), 1, "other threads run")

	start, err := Start("/proc", pid)
	require.NoError(t, err)

	done := make(chan error, 1)

	go func() { done <- AwaitEnd(t.Context(), "/proc", pid, start) }()

	assert.Never(t, func() bool { return len(done) > 0 }, 50*time.Millisecond, 10*time.Millisecond)
	require.NoError(t, cmd.Process.Kill())
	require.NoError(t, result(t, done))
}

// TestAwaitEnd_ContextEndsAtEveryMoment: each wait returns, and none leaves its descriptor open.
func TestAwaitEnd_ContextEndsAtEveryMoment(t *testing.T) {
	pidfds := func() (n int) {
		links, err := filepath.Glob("/proc/self/fd/*")
		require.NoError(t, err)

		for _, link := range links {
			if target, err := os.Readlink(link); err == nil && strings.Contains(target, "pidfd") {
				n++
			}
		}

		return n
	}

	ended, end := context.WithCancel(t.Context())
	end()

	cmd, first := awaited(ended, t, "/proc", 0)
	require.NoError(t, result(t, first))

	start, err := Start("/proc", cmd.Process.Pid)
	require.NoError(t, err)

	known := goleak.IgnoreCurrent()
	before := pidfds()

	for moment := range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)

		go func() { done <- AwaitEnd(ctx, "/proc", cmd.Process.Pid, start) }()

		for range moment {
			runtime.Gosched()
		}

		cancel()
		require.NoError(t, result(t, done))
	}

	assert.Eventually(t, func() bool { return pidfds() <= before }, 5*time.Second, time.Millisecond)

	goleak.VerifyNone(t, known)
}
