// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spegel-guard/spegel-guard/test/bench/podnet"
	"github.com/spegel-guard/spegel-guard/test/bench/watcher"
	"github.com/spegel-guard/spegel-guard/test/node"
)

const podUID = "11111111-2222-3333-4444-555555555555"

var containerID = strings.Repeat("ab", 32)

// target is an idle spegel as kubelet would have started it.
type target struct {
	cmd *exec.Cmd
	// cgroup is its path relative to the root.
	cgroup string
}

// startTarget starts it in its own cgroup, network and pid namespace.
func startTarget(ctx context.Context, program string) (*target, error) {
	started := &target{cgroup: "/kubepods/burstable/pod" + podUID + "/" + containerID}

	inside, err := watcher.MakeCgroup(started.cgroup)
	if err != nil {
		return nil, err
	}

	defer inside.Close() //nolint:errcheck // read only

	started.cmd = exec.CommandContext(ctx, program, "-mode", "idle")
	started.cmd.Stderr = os.Stderr
	started.cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(inside.Fd()), Cloneflags: syscall.CLONE_NEWPID}

	return started, podnet.Do(func() error {
		if err := up("lo"); err != nil {
			return err
		}

		return started.cmd.Start()
	})
}

func (t *target) netns() string { return fmt.Sprintf("/proc/%d/ns/net", t.cmd.Process.Pid) }

func (t *target) dir() string { return filepath.Join(node.CgroupRoot, t.cgroup) }

// stop ends it and removes its cgroups.
func (t *target) stop() error {
	t.cmd.Process.Kill() //nolint:errcheck // it may have ended
	t.cmd.Wait()         //nolint:errcheck // killed

	pod := filepath.Dir(t.dir())

	return removeCgroups(t.dir(), pod, filepath.Dir(pod), filepath.Dir(filepath.Dir(pod)))
}
