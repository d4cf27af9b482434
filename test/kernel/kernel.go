// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package kernel supports tests that need a usable unified cgroup hierarchy, in the test machine of test/vm or on any machine
// that has one.
package kernel

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/cgroups/v3"

	"github.com/spegel-guard/spegel-guard/test/vm"
)

// Require skips the test if this machine has no usable hierarchy. In the test machine it fails instead.
func Require(t testing.TB) {
	t.Helper()

	reason := unusable()

	switch {
	case reason == "":
	case os.Getenv(vm.GuestEnv) != "":
		t.Fatalf("the test machine does not support this test: %s", reason)
	default:
		t.Skipf("needs a unified cgroup hierarchy (run make test-vm): %s", reason)
	}
}

func unusable() string {
	switch {
	case os.Geteuid() != 0:
		return "not root"
	case cgroups.Mode() != cgroups.Unified:
		return "/sys/fs/cgroup is not the unified hierarchy"
	}

	controllers, err := os.ReadFile("/sys/fs/cgroup/cgroup.subtree_control")
	if err != nil {
		return err.Error()
	}

	for _, want := range []string{"cpu", "memory"} {
		if !strings.Contains(" "+strings.TrimSpace(string(controllers))+" ", " "+want+" ") {
			return "controller " + want + " is not enabled"
		}
	}

	return ""
}

// Busy is a process that uses a whole CPU.
type Busy struct {
	cmd *exec.Cmd
}

// busyEnv turns a test binary into a busy process.
const busyEnv = "SPEGEL_GUARD_BUSY"

func init() {
	if os.Getenv(busyEnv) == "" {
		return
	}

	// The parent closes the pipe after it has moved this process into the cgroup.
	var token [1]byte

	os.Stdin.Read(token[:]) //nolint:errcheck

	//nolint:staticcheck // the loop must be busy
	for {
	}
}

// StartBusy starts a busy process in the cgroup with an absolute path.
func StartBusy(t testing.TB, cgroup string) *Busy {
	t.Helper()

	return StartBusyAs(t, "/proc/self/exe", cgroup)
}

// StartBusyAs is like StartBusy with a copy of the test binary, made by CopySelf.
func StartBusyAs(t testing.TB, exe, cgroup string) *Busy {
	t.Helper()

	busy := &Busy{cmd: exec.Command(exe)} //nolint:noctx // ended by Stop
	busy.cmd.Env = append(os.Environ(), busyEnv+"=1")

	stdin, err := busy.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}

	if err := busy.cmd.Start(); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { busy.cmd.Process.Kill() }) //nolint:errcheck // may have ended

	if err := os.WriteFile(filepath.Join(cgroup, "cgroup.procs"), []byte(strconv.Itoa(busy.cmd.Process.Pid)), 0o644); err != nil {
		t.Fatal(err)
	}

	if _, err := stdin.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}

	return busy
}

// CopySelf copies the test binary, so that a process can have another name.
func CopySelf(t testing.TB, name string) string {
	t.Helper()

	data, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}

	path := filepath.Join(t.TempDir(), name)

	if err := os.WriteFile(path, data, 0o700); err != nil {
		t.Fatal(err)
	}

	return path
}

// Stop ends the process and waits for it.
func (b *Busy) Stop(t testing.TB) {
	t.Helper()

	if err := b.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}

	b.cmd.Wait() //nolint:errcheck // killed
}
